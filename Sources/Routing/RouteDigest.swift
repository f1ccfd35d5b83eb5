/// A fingerprint of a set of routes, by which both ends of a tunnel notice that their sets differ.
///
/// The sum, modulo 2⁶⁴, of one 64-bit FNV-1a hash per route, so that the order does not matter and a change costs one
/// route's hash. A route is hashed as its fields in the order host, path, path type, service, namespace, port, tls and
/// its annotations sorted by the bytes of their names (name, value), each as UTF-8 followed by a zero byte.
package struct RouteDigest: Hashable, Sendable, CustomStringConvertible {
    private var sum: UInt64 = 0

    package init() {}

    package init(_ routes: some Sequence<Route>) {
        for route in routes { insert(route) }
    }

    package mutating func insert(_ route: Route) { sum &+= Self.hash(route) }
    package mutating func remove(_ route: Route) { sum &-= Self.hash(route) }

    /// Sixteen lower-case hexadecimal digits.
    package var description: String {
        let digits = String(sum, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func hash(_ route: Route) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ text: String) {
            for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            hash = hash &* 0x100_0000_01b3
        }
        add(route.host.text)
        add(route.path)
        add(route.pathType.rawValue)
        add(route.service)
        add(route.namespace)
        add(String(route.port))
        add(route.tls ? "true" : "false")
        for (name, value) in route.annotations.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            add(name)
            add(value)
        }
        return hash
    }
}
