import Foundation
import Synchronization

/// What goes with a request to say who sends it.
struct Authorization: Hashable, Sendable {
    /// The value of the `Authorization` header, if any.
    var header: String?
    /// A certificate obtained from a plugin, to be used instead of the configured one.
    var clientCertificate: KubernetesConfiguration.ClientCertificate?
}

/// Keeps the current credentials, and renews those that rotate: a token file is read again after 60 s, a plugin is run
/// again when its credential expires, both are renewed after the server refused them.
final class CredentialProvider: Sendable {
    /// A token file is not read more often than this, except after a refusal.
    static let fileLifetime: Duration = .seconds(60)
    /// A credential about to expire is not used any more.
    static let expiryMargin: TimeInterval = 10

    private struct State {
        var cached: Cached?
        /// The plugin is running; others wait for its answer instead of running it again.
        var isRenewing = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private struct Cached {
        var authorization: Authorization
        var obtained: Duration
        var expires: Date?

        var isFresh: Bool { expires.map { $0.timeIntervalSinceNow > CredentialProvider.expiryMargin } ?? true }
    }

    private let credentials: KubernetesConfiguration.Credentials
    private let field: KubernetesConfiguration.FieldReference?
    private let time: MonotonicTime
    private let state = Mutex(State())

    /// `field` is named where a token file or a plugin fails.
    init(
        credentials: KubernetesConfiguration.Credentials, field: KubernetesConfiguration.FieldReference? = nil,
        time: MonotonicTime
    ) {
        self.credentials = credentials
        self.field = field
        self.time = time
    }

    /// The credentials for the next request. Where there are none to be had, throws a `KubernetesConfigurationError` that
    /// names the field at fault, or, where none is known, a sentence.
    func authorization() async throws -> Authorization {
        do {
            return try await current()
        } catch let failure as ExecPlugin.Failure {
            throw field.map { $0.fault(failure.description) } ?? failure
        }
    }

    private func current() async throws -> Authorization {
        switch credentials {
        case .none: return Authorization()
        case .token(let token): return Authorization(header: "Bearer \(token)")
        case .basic(let username, let password):
            return Authorization(header: "Basic \(Data("\(username):\(password)".utf8).base64EncodedString())")
        case .tokenFile(let path): return try fromFile(path)
        case .exec(let plugin): return try await fromPlugin(plugin)
        }
    }

    /// The server refused `authorization`; returns whether other credentials may be had now.
    func refused(_ authorization: Authorization) -> Bool {
        switch credentials {
        case .none, .token, .basic: return false
        case .tokenFile, .exec:
            state.withLock { state in
                // Somebody else's refusal may have brought new ones already.
                if state.cached?.authorization == authorization { state.cached = nil }
            }
            return true
        }
    }

    private func fromFile(_ path: String) throws -> Authorization {
        let now = time.now
        if let cached = state.withLock({ $0.cached }), now - cached.obtained < Self.fileLifetime {
            return cached.authorization
        }
        let text = FileManager.default.contents(atPath: path)
            .map { String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines) }
        guard let text, !text.isEmpty else {
            // While a file is being replaced the old token is still better than none.
            if let cached = state.withLock({ $0.cached }) { return cached.authorization }
            throw ExecPlugin.Failure(description: "token file \(path) is empty or cannot be read")
        }
        let authorization = Authorization(header: "Bearer \(text)")
        state.withLock { $0.cached = Cached(authorization: authorization, obtained: now, expires: nil) }
        return authorization
    }

    private enum Turn {
        case use(Authorization)
        case renew
        case wait
    }

    private func fromPlugin(_ plugin: ExecPlugin) async throws -> Authorization {
        while true {
            let turn: Turn = state.withLock { state in
                if let cached = state.cached, cached.isFresh { return .use(cached.authorization) }
                if state.isRenewing { return .wait }
                state.isRenewing = true
                return .renew
            }
            switch turn {
            case .use(let authorization):
                return authorization
            case .wait:
                await withCheckedContinuation { continuation in
                    let isOver = state.withLock { state in
                        guard state.isRenewing else { return true }
                        state.waiting.append(continuation)
                        return false
                    }
                    if isOver { continuation.resume() }
                }
            case .renew:
                defer {
                    let waiting = state.withLock { state in
                        state.isRenewing = false
                        return exchange(&state.waiting, [])
                    }
                    for continuation in waiting { continuation.resume() }
                }
                let credential = try await plugin.run()
                let authorization = Authorization(
                    header: credential.token.map { "Bearer \($0)" }, clientCertificate: credential.clientCertificate)
                state.withLock {
                    $0.cached = Cached(
                        authorization: authorization, obtained: time.now, expires: credential.expires)
                }
                return authorization
            }
        }
    }
}

private func exchange<Value>(_ place: inout Value, _ value: Value) -> Value {
    let old = place
    place = value
    return old
}
