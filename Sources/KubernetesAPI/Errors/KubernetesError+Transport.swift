import AsyncHTTPClient
import Foundation
import NIOCore
import NIOPosix
import NIOSSL

extension KubernetesError {
    /// The error for a request that got no complete answer because of `error`.
    init(transport error: any Error, verb: Verb, path: String) {
        if let error = error as? KubernetesError {
            self = error
            return
        }
        var kind = Kind.connection
        var mayHaveBeenProcessed = true
        switch error {
        case let error as HTTPClientError:
            switch error {
            case .deadlineExceeded, .readTimeout, .writeTimeout:
                kind = .timeout
            case .connectTimeout, .getConnectionFromPoolTimeout, .tlsHandshakeTimeout, .httpProxyHandshakeTimeout,
                .socksHandshakeTimeout:
                (kind, mayHaveBeenProcessed) = (.timeout, false)
            case .proxyAuthenticationRequired, .invalidProxyResponse:
                mayHaveBeenProcessed = false
            default: break
            }
        case is NIOConnectionError:
            mayHaveBeenProcessed = false
        case let error as NIOSSLError:
            if case .handshakeFailed = error { mayHaveBeenProcessed = false }
        case is NIOSSLExtraError, is WrongServerCertificate:
            mayHaveBeenProcessed = false
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            mayHaveBeenProcessed = false
        default: break
        }
        self.init(
            kind: kind, verb: verb, path: path, message: String(describing: error),
            mayHaveBeenProcessed: mayHaveBeenProcessed)
    }
}
