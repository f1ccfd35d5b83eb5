package import TunnelProtocol

/// Why an exchange did not succeed, with everything that follows from it: status, code, and what to tell whom.
package enum ExchangeFailure: Error, Hashable, Sendable {
    case badRequest(String)
    case headerTooLarge
    /// The body is longer than the route or the gateway allows.
    case bodyTooLarge
    /// The client did not send the rest of its request in time.
    case requestTimeout
    case targetTooLong
    case versionNotSupported
    /// A protocol is asked for by CONNECT that is not carried (RFC 8441 §4).
    case protocolNotSupported
    case noSuchHost
    case noSuchPath
    /// The route exists, and no tunnel of its cluster is connected.
    case clusterOffline
    /// The tunnel ended while the exchange was under way.
    case tunnelLost
    /// The tunnel or the agent has no room for another stream.
    case overloaded
    /// The cluster, or the route, has had as many requests as it may at this time.
    case rateLimited
    /// The agent has not advertised what the gateway asked for.
    case notAdvertised
    case backendUnresolved
    case backendUnreachable
    /// No connection was made, and none refused, within the agent's `connect-timeout`.
    case backendConnectTimeout
    /// TLS with the backend failed: most often its certificate is not trusted, or is for another name.
    case backendTLSFailed
    case backendTimeout
    case backendClosed
    case backendInvalid
    case idleTimeout
    /// The exchange as a whole took too long.
    case timeLimit
    case internalError

    /// Reads a RESET that ended the stream before its answer.
    package init(_ code: ResetCode) {
        self =
            switch code {
            case .refused, .overloaded: .overloaded
            case .notAdvertised: .notAdvertised
            case .backendUnresolved: .backendUnresolved
            case .backendUnreachable: .backendUnreachable
            case .backendConnectTimeout: .backendConnectTimeout
            case .backendTLSFailed: .backendTLSFailed
            case .backendTimeout: .backendTimeout
            case .backendClosed: .backendClosed
            case .backendInvalid: .backendInvalid
            case .idleTimeout: .idleTimeout
            case .cancelled: .backendClosed
            default: .internalError
            }
    }

    /// What the agent tells the gateway.
    package var resetCode: ResetCode {
        switch self {
        case .badRequest, .headerTooLarge, .bodyTooLarge, .targetTooLong, .versionNotSupported,
            .protocolNotSupported:
            .protocolError
        case .noSuchHost, .noSuchPath, .notAdvertised: .notAdvertised
        case .clusterOffline, .tunnelLost, .internalError: .internalError
        case .overloaded, .rateLimited: .overloaded
        case .backendUnresolved: .backendUnresolved
        case .backendUnreachable: .backendUnreachable
        case .backendConnectTimeout: .backendConnectTimeout
        case .backendTLSFailed: .backendTLSFailed
        case .backendTimeout, .requestTimeout: .backendTimeout
        case .backendClosed: .backendClosed
        case .backendInvalid: .backendInvalid
        case .idleTimeout, .timeLimit: .idleTimeout
        }
    }

    /// RFC 9110 §15.
    package var status: UInt16 {
        switch self {
        case .badRequest: 400
        case .noSuchHost, .noSuchPath: 404
        case .requestTimeout: 408
        case .bodyTooLarge: 413
        case .targetTooLong: 414
        case .rateLimited: 429
        case .headerTooLarge: 431
        case .internalError: 500
        case .notAdvertised, .backendUnresolved, .backendUnreachable, .backendTLSFailed, .backendClosed,
            .backendInvalid:
            502
        case .clusterOffline, .tunnelLost, .overloaded: 503
        case .backendConnectTimeout, .backendTimeout, .idleTimeout, .timeLimit: 504
        case .versionNotSupported: 505
        case .protocolNotSupported: 501
        }
    }

    /// A stable snake_case name, for programs and logs.
    package var code: String {
        switch self {
        case .badRequest: "bad_request"
        case .headerTooLarge: "header_too_large"
        case .bodyTooLarge: "body_too_large"
        case .requestTimeout: "request_timeout"
        case .targetTooLong: "target_too_long"
        case .versionNotSupported: "version_not_supported"
        case .protocolNotSupported: "protocol_not_supported"
        case .noSuchHost: "no_such_host"
        case .noSuchPath: "no_such_path"
        case .clusterOffline: "cluster_offline"
        case .tunnelLost: "tunnel_lost"
        case .overloaded: "overloaded"
        case .rateLimited: "rate_limited"
        case .notAdvertised: "not_advertised"
        case .backendUnresolved: "backend_unresolved"
        case .backendUnreachable: "backend_unreachable"
        case .backendConnectTimeout: "backend_connect_timeout"
        case .backendTLSFailed: "backend_tls_failed"
        case .backendTimeout: "backend_timeout"
        case .backendClosed: "backend_closed"
        case .backendInvalid: "backend_invalid"
        case .idleTimeout: "idle_timeout"
        case .timeLimit: "time_limit"
        case .internalError: "internal_error"
        }
    }

    /// A sentence for the person who made the request.
    package var detail: String {
        switch self {
        case .badRequest(let reason): "The request cannot be forwarded: \(reason)."
        case .headerTooLarge: "The request's header fields are too large or too many."
        case .bodyTooLarge: "The request's body is larger than is taken here."
        case .requestTimeout: "The rest of the request did not come in time."
        case .targetTooLong: "The request's target is too long."
        case .versionNotSupported: "The request's version of HTTP is neither 1.0 nor 1.1."
        case .protocolNotSupported: "The only protocol that can be asked for by CONNECT is websocket."
        case .noSuchHost: "No application is served under this host name."
        case .noSuchPath: "An application is served under this host name, but not under this path."
        case .clusterOffline: "The cluster that serves this application is not connected. Try again shortly."
        case .tunnelLost: "The connection to the cluster was lost before the application answered."
        case .overloaded: "The connection to the cluster has as many requests as it can take. Try again shortly."
        case .rateLimited: "The application has had as many requests as it may have at this time. Try again shortly."
        case .notAdvertised: "The cluster does not serve this host and path any more."
        case .backendUnresolved: "The name of the application's Service does not resolve in its cluster."
        case .backendUnreachable: "The application's Service does not accept connections."
        case .backendConnectTimeout: "The application's Service did not take the connection in time."
        case .backendTLSFailed: "The application's Service could not be reached by TLS: its certificate is not trusted."
        case .backendTimeout: "The application did not answer in time."
        case .backendClosed: "The application closed the connection before it answered."
        case .backendInvalid: "The application's answer is not valid HTTP."
        case .idleTimeout: "Nothing was sent or received for too long."
        case .timeLimit: "The request and its answer took longer than they may."
        case .internalError: "The gateway could not handle the request."
        }
    }

    /// What whoever runs the application, or made the request, can do about it; a sentence or two.
    package var hint: String {
        switch self {
        case .badRequest, .headerTooLarge, .targetTooLong, .versionNotSupported, .protocolNotSupported:
            "Send the request in another form; the same one will fail again."
        case .bodyTooLarge:
            """
            Send less at a time. If the application is yours, look at the annotation gateway.pipeops.io/max-body-size of \
            its Ingress, and ask whoever runs the gateway for its limit.
            """
        case .requestTimeout: "Send it again, and without a pause."
        case .noSuchHost:
            """
            Check the spelling. If the application is yours, check that its Ingress exists (kubectl get ingress -A) and \
            that its GatewayRoute is programmed (kubectl get gwr -A).
            """
        case .noSuchPath:
            "Check the spelling. If the application is yours, check the paths of its Ingress (kubectl describe ingress)."
        case .clusterOffline:
            """
            If the cluster is yours, check its network and its agent (kubectl logs -n pipeops-system \
            deployment/pipeops-agent).
            """
        case .tunnelLost:
            "The application may have acted on the request: repeat it only if that does no harm."
        case .overloaded, .rateLimited: "Send fewer requests at a time."
        case .notAdvertised:
            "If the application is yours, check its Ingress and its GatewayRoute (kubectl describe gwr)."
        case .backendUnresolved:
            "If the application is yours, check that its Service exists (kubectl get service)."
        case .backendUnreachable:
            """
            If the application is yours, check that its pods are ready and listen on the Service's port (kubectl get \
            endpointslices).
            """
        case .backendConnectTimeout:
            """
            If the application is yours, check that its pods are ready, and that no NetworkPolicy keeps the agent from \
            them (kubectl get networkpolicies).
            """
        case .backendTLSFailed:
            """
            If the application is yours, the agent's log says what is wrong (kubectl logs -n pipeops-system \
            deployment/pipeops-agent). The annotations gateway.pipeops.io/backend-ca-secret and \
            gateway.pipeops.io/backend-server-name of its Ingress say whom to trust, and for which name.
            """
        case .backendTimeout, .idleTimeout:
            """
            If the application is yours and needs longer, set the annotation gateway.pipeops.io/response-timeout or \
            gateway.pipeops.io/idle-timeout of its Ingress.
            """
        case .timeLimit:
            "Ask for less at a time. Whoever runs the gateway can allow more time (request-timeout)."
        case .backendClosed, .backendInvalid:
            "If the application is yours, check its log (kubectl logs)."
        case .internalError: "If it goes on, tell whoever runs the gateway, with the number of the request."
        }
    }

    /// The type of error in `Proxy-Status` (RFC 9209 §2.3).
    package var proxyError: String {
        switch self {
        case .badRequest, .headerTooLarge, .bodyTooLarge, .requestTimeout, .targetTooLong, .versionNotSupported,
            .protocolNotSupported:
            "http_request_error"
        case .noSuchHost, .noSuchPath, .notAdvertised: "destination_not_found"
        case .clusterOffline: "destination_unavailable"
        case .tunnelLost, .backendClosed: "connection_terminated"
        case .overloaded: "connection_limit_reached"
        case .rateLimited: "http_request_denied"
        case .backendUnresolved: "dns_error"
        case .backendUnreachable: "connection_refused"
        case .backendConnectTimeout: "connection_timeout"
        case .backendTLSFailed: "tls_certificate_error"
        case .backendTimeout, .timeLimit: "http_response_timeout"
        case .backendInvalid: "http_protocol_error"
        case .idleTimeout: "connection_read_timeout"
        case .internalError: "proxy_internal_error"
        }
    }

    /// Seconds after which another try makes sense, where one does.
    package var retryAfter: Int? {
        switch self {
        case .clusterOffline, .tunnelLost: 5
        case .overloaded, .rateLimited: 1
        default: nil
        }
    }
}
