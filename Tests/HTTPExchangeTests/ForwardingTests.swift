import HTTPExchange
import Testing
import TunnelProtocol

@Suite("Which fields are forwarded")
struct ForwardingTests {
    private func lines(_ fields: HeaderFields) -> [String] { fields.map { "\($0): \($1)" } }

    private func forwarded(
        _ fields: HeaderFields, isTrusted: Bool = false, policy: ForwardingPolicy = ForwardingPolicy(),
        requestID: RequestID? = nil, routeStrips: Set<String> = []
    ) -> [String] {
        var source = RequestIDSource()
        // The client's own, so that most of these tests see no other field than those they are about.
        let client = source.id(for: ["X-Request-Id": "r1"])
        return lines(
            policy.requestFields(
                fields, client: "203.0.113.9", isTrusted: isTrusted, scheme: "https", authority: "a.com:8443",
                requestID: requestID ?? client, routeStrips: routeStrips))
    }

    private let added = [
        "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.com:8443",
    ]

    @Test("Trailers lose what means something only before a body")
    func trailers() {
        let fields: HeaderFields = [
            "grpc-status": "0", "Content-Length": "5", "Set-Cookie": "a=b", "Transfer-Encoding": "chunked",
            "X-Checksum": "1",
        ]
        #expect(lines(HopByHop.trailers(from: fields)) == ["grpc-status: 0", "X-Checksum: 1"])
    }

    @Test("End-to-end fields pass untouched, in order and with their spelling")
    func endToEnd() {
        let fields: HeaderFields = [
            "accept": "*/*", "COOKIE": "a=1", "Authorization": "Bearer x", "X-Auth-Token": "y", "cookie": "b=2",
            "Content-Length": "5", "Trailer": "x", "Empty": "",
        ]
        #expect(forwarded(fields) == lines(fields) + added)
    }

    @Test("Hop-by-hop fields go, and those that Connection names")
    func hopByHop() {
        let fields: HeaderFields = [
            "Connection": "keep-alive, X-Secret", "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive",
            "Proxy-Authorization": "Basic x", "Proxy-Authenticate": "Basic", "Transfer-Encoding": "chunked",
            "Upgrade": "h2c", "TE": "gzip", "X-Secret": "1", "x-secret": "2", "connection": "x-other", "X-Other": "3",
            "X-Kept": "4",
        ]
        #expect(lines(HopByHop.removed(from: fields)) == ["X-Kept: 4"])
        #expect(forwarded(fields) == ["X-Kept: 4"] + added)
    }

    @Test("The request's name passes, though Connection names it", arguments: ["X-Request-Id", "x_request_id, close"])
    func nominatedRequestID(option: String) {
        let fields: HeaderFields = ["Connection": option, "X-Request-Id": "r1", "X-Kept": "4"]
        #expect(forwarded(fields) == ["X-Request-Id: r1", "X-Kept: 4"] + added)
        // Nor is a new one lost that takes the place of what is no name.
        var source = RequestIDSource()
        let bad: HeaderFields = ["Connection": option, "X-Request-Id": "a b"]
        let id = source.id(for: bad)
        #expect(forwarded(bad, requestID: id) == ["X-Request-Id: \(id.text)"] + added)
    }

    @Test("TE keeps trailers and nothing else", arguments: ["trailers", "gzip, Trailers", "trailers, deflate"])
    func trailers(te: String) {
        let fields: HeaderFields = ["TE": te, "Connection": "TE"]
        #expect(lines(HopByHop.removed(from: fields)) == ["TE: trailers"])
    }

    @Test("Further fields are removed on demand")
    func also() {
        let fields: HeaderFields = ["Host": "a", "B": "c"]
        #expect(lines(HopByHop.removed(from: fields) { _, kind in kind == .host }) == ["B: c"])
    }

    @Test("What a client says about itself is replaced")
    func spoofed() {
        let fields: HeaderFields = [
            "Host": "a.com", "X-Forwarded-For": "1.1.1.1", "x-forwarded-for": "2.2.2.2", "X-Forwarded-Proto": "http",
            "X-Forwarded-Host": "evil.com", "X-Forwarded-Port": "1", "X-Forwarded-Server": "s",
            "X-Forwarded-Prefix": "/p", "X-Forwarded-Protocol": "http", "X-Forwarded-Client-Cert": "c",
            "Forwarded": "for=1.1.1.1", "X-Real-IP": "1.1.1.1", "X-Forward": "kept", "X-Realm": "kept",
        ]
        #expect(forwarded(fields) == ["X-Forward: kept", "X-Realm: kept"] + added)
    }

    @Test("Names that some applications take for these are removed, whoever sent them", arguments: [false, true])
    func lookAlikes(isTrusted: Bool) {
        let fields: HeaderFields = [
            "X_Forwarded_For": "1.1.1.1", "x-forwarded_proto": "https", "X_Real_IP": "1.1.1.1", "Content_Length": "5",
            "Transfer_Encoding": "chunked", "Proxy_Authorization": "x", "X_Custom": "kept",
        ]
        #expect(forwarded(fields, isTrusted: isTrusted) == ["X_Custom: kept"] + added)
        #expect(lines(ForwardingPolicy().requestTrailers(fields, isTrusted: isTrusted)) == ["X_Custom: kept"])
        #expect(lines(HopByHop.removed(from: ["Connection": "X-Hop", "X_Hop": "1", "A": "b"])) == ["A: b"])
    }

    @Test("A trusted proxy is believed, and added to the chain")
    func trusted() {
        let fields: HeaderFields = [
            "X-Forwarded-For": "1.1.1.1", "X-Forwarded-For": "2.2.2.2, 3.3.3.3", "X-Forwarded-Proto": "http",
            "X-Forwarded-Host": "public.com", "X-Forwarded-Port": "80", "Forwarded": "for=1.1.1.1",
            "X-Real-IP": "1.1.1.1", "X-Forwarded-Client-Cert": "c", "Accept": "*/*",
        ]
        #expect(
            Set(forwarded(fields, isTrusted: true)) == [
                "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 203.0.113.9", "X-Forwarded-Proto: http",
                "X-Forwarded-Host: public.com", "X-Forwarded-Port: 80", "Forwarded: for=1.1.1.1",
                "X-Real-IP: 1.1.1.1", "X-Forwarded-Client-Cert: c", "Accept: */*",
            ])
        #expect(forwarded([:], isTrusted: true) == added)
    }

    @Test("The operator and the route can have fields removed")
    func stripped() {
        let fields: HeaderFields = ["Authorization": "x", "COOKIE": "y", "Accept": "z"]
        let policy = ForwardingPolicy(strippedRequestFields: ["Authorization"])
        #expect(forwarded(fields, policy: policy) == ["COOKIE: y", "Accept: z"] + added)
        #expect(forwarded(fields, policy: policy, routeStrips: ["cookie"]) == ["Accept: z"] + added)
        let secret = ForwardingPolicy(strippedRequestFields: ["X_Auth-Token"])
        #expect(forwarded(["X-Auth-Token": "1", "x_auth_token": "2"], policy: secret) == added)
    }

    @Test("The request's name is the client's where it gave a sound one, else the gateway's, and only one")
    func requestID() {
        var source = RequestIDSource()
        let given: HeaderFields = ["A": "1", "x-request-id": "abc-1", "B": "2"]
        let kept = source.id(for: given)
        #expect(kept.text == "abc-1")
        #expect(forwarded(given, requestID: kept) == ["A: 1", "x-request-id: abc-1", "B: 2"] + added)
        let forged: HeaderFields = ["A": "1", "X-Request-Id": "<b>"]
        let made = source.id(for: forged)
        #expect(forwarded(forged, requestID: made) == ["A: 1", "X-Request-Id: \(made.text)"] + added)
    }
}
