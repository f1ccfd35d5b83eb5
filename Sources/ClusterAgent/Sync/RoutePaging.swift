import TunnelProtocol

/// Divides routes among control messages, none of which may exceed `ControlMessage.maximumSize`.
enum RoutePaging {
    /// What a message needs beside its routes: type, action, cluster, revision, page and punctuation.
    private static let envelope = 1024

    /// At least one page, so that an empty set can be announced. Order is kept.
    static func pages(of routes: [AdvertisedRoute], limit: Int = ControlMessage.maximumSize) -> [[AdvertisedRoute]] {
        var pages: [[AdvertisedRoute]] = []
        var page: [AdvertisedRoute] = []
        var room = limit - envelope
        for route in routes {
            let size = encodedSize(of: route)
            if size > room, !page.isEmpty {
                pages.append(page)
                page = []
                room = limit - envelope
            }
            page.append(route)
            room -= size
        }
        return pages + [page]
    }

    /// An upper bound of the bytes of a route as JSON; measuring is far cheaper than encoding twice.
    static func encodedSize(of route: AdvertisedRoute) -> Int {
        // Names of the fields, quotes, colons, commas, braces, the port and the boolean.
        var size = 160
        for text in [route.host, route.path, route.pathType, route.service, route.namespace] { size += escaped(text) }
        for (name, value) in route.annotations { size += escaped(name) + escaped(value) + 6 }
        return size
    }

    private static func escaped(_ text: String) -> Int {
        text.utf8.reduce(0) { size, byte in
            switch byte {
            case 0..<0x20, 0x7f: size + 6
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): size + 2
            default: size + 1
            }
        }
    }
}
