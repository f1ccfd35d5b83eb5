import AsyncHTTPClient
import HTTPExchange
import NIOCore
import NIOHTTP1
import Synchronization
import TunnelProtocol

/// Which solvers answer the challenges of a certificate's authority (RFC 8555 §8.3), and what they answer.
///
/// A request for a challenge that is in the table goes to the solver in the gateway's own cluster; any other goes where its
/// host's requests go, so that applications may have challenges of their own.
package final class ChallengeTable: Sendable {
    struct Key: Hashable, Sendable {
        var host: String
        var path: String
    }

    /// Where a solver listens.
    struct Solver: Hashable, Sendable {
        var address: String
        var port: Int
    }

    /// Under this path an authority looks for the answers.
    static let prefix = "/.well-known/acme-challenge/"
    /// An answer is a token and a thumbprint.
    private static let mostBytes = 16 * 1024
    private static let patience = TimeAmount.seconds(5)
    /// Asked at a time; authorities ask a few times for each certificate.
    private static let mostAsked = 64

    private struct State {
        var solvers: [Key: Solver] = [:]
        var asked = 0
    }

    private let state = Mutex(State())
    /// Goes where it is told and nowhere else: a solver sends nobody on.
    private let client: HTTPClient

    package init() {
        client = HTTPClient(
            eventLoopGroupProvider: .singleton,
            configuration: .init(
                redirectConfiguration: .disallow, timeout: .init(connect: .seconds(2)), decompression: .disabled))
    }

    /// To be called once nobody asks any more.
    package func shutdown() async throws { try await client.shutdown() }

    /// Whether a path is below the one for challenges.
    static func isChallenge(_ path: some StringProtocol) -> Bool { path.hasPrefix(prefix) }

    /// Whether it is a token's (RFC 8555 §8.3), and nothing that leads elsewhere.
    static func isToken(_ path: some StringProtocol) -> Bool {
        guard isChallenge(path), path.utf8.count > prefix.utf8.count else { return false }
        return path.utf8.dropFirst(prefix.utf8.count).allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }

    func replace(with solvers: [Key: Solver]) { state.withLock { $0.solvers = solvers } }

    /// Who answers a request; nil: nobody here.
    func solver(host: String, path: some StringProtocol) -> Solver? {
        guard Self.isChallenge(path) else { return nil }
        let key = Key(host: host, path: String(path))
        return state.withLock { $0.solvers[key] }
    }

    /// A solver's answer.
    struct Answer: Sendable {
        var head: ResponseHead
        var body: ByteBuffer
    }

    /// Asks a solver. Fails with an `ExchangeFailure`.
    func ask(_ solver: Solver, host: String, path: String, on loop: any EventLoop) -> EventLoopFuture<Answer> {
        let isAllowed = state.withLock { state in
            guard state.asked < Self.mostAsked else { return false }
            state.asked += 1
            return true
        }
        guard isAllowed else { return loop.makeFailedFuture(ExchangeFailure.overloaded) }
        return send(solver, host: host, path: path).hop(to: loop).always { [self] _ in
            state.withLock { $0.asked -= 1 }
        }
    }

    private func send(_ solver: Solver, host: String, path: String) -> EventLoopFuture<Answer> {
        do {
            let address = solver.address.contains(":") ? "[\(solver.address)]" : solver.address
            let request = try HTTPClient.Request(
                url: "http://\(address):\(solver.port)\(path)", headers: ["Host": host])
            let accumulator = ResponseAccumulator(request: request, maxBodySize: Self.mostBytes)
            return client.execute(request: request, delegate: accumulator, deadline: .now() + Self.patience)
                .futureResult.map { response in
                    let body = response.body ?? ByteBuffer()
                    var fields = HeaderFields()
                    fields.add(
                        name: "Content-Type", value: response.headers.first(name: "Content-Type") ?? "text/plain")
                    fields.add(name: "Content-Length", value: "\(body.readableBytes)")
                    return Answer(head: ResponseHead(status: UInt16(response.status.code), fields: fields), body: body)
                }
                .flatMapErrorThrowing { error in
                    switch error as? HTTPClientError {
                    case .deadlineExceeded?, .connectTimeout?, .readTimeout?: throw ExchangeFailure.backendTimeout
                    default: throw ExchangeFailure.backendUnreachable
                    }
                }
        } catch {
            return client.eventLoopGroup.any().makeFailedFuture(ExchangeFailure.backendUnreachable)
        }
    }
}
