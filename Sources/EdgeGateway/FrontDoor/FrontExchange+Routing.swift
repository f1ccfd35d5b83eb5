import HTTPExchange
import NIOCore
import Routing
import TunnelProtocol
import TunnelTransport

extension FrontExchange {
    /// Finds out who serves the request, and sends it there.
    ///
    /// - Parameter announcedLength: of its body, in bytes, where the client says so.
    func start(_ request: HTTP1Request, announcedLength: Int?) {
        do throws(ExchangeFailure) {
            let target = try RequestTarget(request)
            record.host = target.host
            record.path = String(target.path)
            let trace = TraceContext(request.fields)
            var begunTrace: TraceContext?
            if trace == nil, shared.policy.traces != .pass {
                begunTrace = client.beginTrace(sampled: shared.policy.traces == .sampled)
            }
            record.traceID = (trace ?? begunTrace)?.traceID
            let isTrusted = client.isTrusted
            if let challenges = shared.challenges, request.method == "GET" || request.method == "HEAD",
                upgrade == nil, !wantsRequest,
                let solver = challenges.solver(host: target.host, path: target.path)
            {
                return ask(solver, in: challenges, target)
            }
            if let answer = shared.redirect?.answer(to: target, request.fields, isTrusted: isTrusted) {
                return received(.head(answer, endStream: true))
            }
            let route: ServedRoute
            switch shared.cache.lookup(host: target.host, path: target.path) {
            case .found(let found): route = found
            case .noSuchHost: throw .noSuchHost
            case .noSuchPath: throw .noSuchPath
            }
            record.cluster = route.cluster
            offlinePage = route.origin.offlinePage
            if let limiter = route.limiter, let quota = limiter.refusal(now: started) {
                self.quota = quota
                throw .rateLimited
            }
            if let announcedLength, announcedLength > route.maxBodySize { throw .bodyTooLarge }
            let fields = shared.policy.requestFields(
                request.fields, client: client.address, isTrusted: isTrusted, scheme: shared.scheme,
                authority: target.authority, requestID: requestID, begunTrace: begunTrace,
                routeStrips: route.strippedRequestFields)
            let head = RequestHead(
                method: request.method, authority: target.authority, target: target.target, upgrade: upgrade ?? "",
                fields: fields)
            begin(head, timeouts: route.timeouts, maxBodySize: route.maxBodySize) {
                [policy = shared.policy, isTrusted] trailers in
                policy.requestTrailers(trailers, isTrusted: isTrusted, routeStrips: route.strippedRequestFields)
            }
            forward(cluster: route.cluster, avoiding: nil, otherwise: .clusterOffline)
            client.ensureTimer(by: deadline)
        } catch {
            fail(error)
        }
    }

    /// Has a challenge answered by whoever waits for it.
    private func ask(_ solver: ChallengeTable.Solver, in challenges: ChallengeTable, _ target: RequestTarget) {
        guard let loop = client.eventLoop else { return }
        let exchange = NIOLoopBound(self, eventLoop: loop)
        challenges.ask(solver, host: target.host, path: String(target.path), on: loop).whenComplete { result in
            exchange.value.solved(result)
        }
        client.ensureTimer(by: deadline)
    }

    private func solved(_ result: Result<ChallengeTable.Answer, any Error>) {
        switch result {
        case .success(let answer):
            let isWhole = record.method == "HEAD" || answer.body.readableBytes == 0
            received(.head(answer.head, endStream: isWhole))
            if !isWhole { received(.data(answer.body, endStream: true)) }
            receivedBurst()
        case .failure(let error): fail(error as? ExchangeFailure ?? .backendUnreachable)
        }
    }

    /// Sends the request through a tunnel of the cluster.
    func forward(cluster: String, avoiding: String?, otherwise failure: ExchangeFailure) {
        guard let loop = client.eventLoop, let head else { return }
        let tunnel: ConnectedTunnel
        switch shared.tunnels.choose(for: cluster, on: loop, avoiding: avoiding, now: started) {
        case .tunnel(let chosen): tunnel = chosen
        case .full: return fail(.overloaded)
        case .limited(let quota):
            self.quota = quota
            return fail(.rateLimited)
        case .none: return fail(failure)
        }
        record.tunnel = tunnel.id
        attach(tunnel.tunnel.open(head, endStream: !keepsStreamOpen, receiver: self, on: loop))
    }
}
