import Routing
import Testing
import TunnelProtocol

@Suite("Routes as advertised")
struct AdvertisedRouteTests {
    private let sample = AdvertisedRoute(
        host: "My-App.example.com", path: "/api", pathType: "Exact", service: "web", namespace: "default", port: 8080,
        tls: true, annotations: ["a": "b"])

    @Test("A good route is checked into a Route and back")
    func good() throws {
        let route = try sample.route()
        #expect(route.host.text == "my-app.example.com")
        #expect(route.match == .exact("/api"))
        #expect(route.port == 8080 && route.tls && route.annotations == ["a": "b"])
        #expect(try AdvertisedRoute(route).route() == route)
    }

    @Test(
        "A bad one is refused by name",
        arguments: [
            ("InvalidPathType", "path_type \"Regex\" is not one of Exact, Prefix, ImplementationSpecific"),
            ("InvalidPath", "path \"api\" does not start with a slash"),
            ("InvalidPort", "port 0 is not between 1 and 65535"),
            ("InvalidHost", "host \"a b\" has a character other than letters, digits, hyphens and underscores"),
        ])
    func bad(reason: String, message: String) {
        var route = sample
        switch reason {
        case "InvalidPathType": route.pathType = "Regex"
        case "InvalidPath": route.path = "api"
        case "InvalidPort": route.port = 0
        default: route.host = "a b"
        }
        #expect(throws: RouteRefusal(reason: reason, message: message)) { try route.route() }
    }

    @Test("A route that weighs more than allowed is refused by name, whichever part of it does")
    func tooLarge() throws {
        func refusal(_ change: (inout AdvertisedRoute) -> Void) -> String? {
            var route = sample
            change(&route)
            do {
                _ = try route.route()
                return nil
            } catch {
                return error.reason
            }
        }
        let long = String(repeating: "x", count: AdvertisedRoute.maximumSize)
        #expect(refusal { $0.path = "/" + long } == "RouteTooLarge")
        #expect(refusal { $0.service = long } == "RouteTooLarge")
        #expect(refusal { $0.annotations = ["a": long] } == "RouteTooLarge")
        let many = Dictionary(uniqueKeysWithValues: (0..<1000).map { ("\($0)", "") })
        #expect(refusal { $0.annotations = many } == "RouteTooLarge")
        // The most that an agent makes of an Ingress.
        let honest = refusal {
            $0.host = String(repeating: "h", count: 60) + ".test"
            $0.path = "/" + String(repeating: "p", count: 4095)
            $0.annotations = Dictionary(
                uniqueKeysWithValues: (100..<350).map { ("nginx.ingress.kubernetes.io/\($0)", "x") })
        }
        #expect(honest == nil)
    }

    @Test("A refusal stays short whatever was advertised")
    func clipped() {
        var route = sample
        route.path = String(repeating: "x", count: 50_000)
        do {
            _ = try route.route()
            Issue.record("taken")
        } catch {
            #expect(error.message.utf8.count < 400)
        }
    }
}
