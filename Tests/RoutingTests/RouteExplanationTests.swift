import TestSupport
import Testing

@testable import Routing

@Suite("Why a route wins")
struct RouteExplanationTests {
    private func table(_ routes: [(String, String, PathType)]) throws -> RouteTable<String> {
        RouteTable(
            try routes.map { host, path, type in
                (RouteKey(host: try Hostname(host), match: PathMatch(path: path, type: type)), "\(host)\(path) \(type)")
            })
    }

    @Test("what is chosen is what the look-up finds, in generated tables", arguments: 0..<40)
    func agrees(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let hosts = ["a.test", "b.a.test", "*.a.test", "*.b.a.test", "c.test", "*.test"]
        let segments = ["", "/", "/x", "/xy", "/x/", "/x/y", "/x/y/z", "/X", "/x%2Fy", "//", "/x//y"]
        let routes = (0..<Int.random(in: 0...25, using: &random)).map { _ in
            let path = segments.randomElement(using: &random) ?? ""
            return (
                hosts.randomElement(using: &random) ?? "", path.isEmpty ? "/" : path,
                PathType.allCases.randomElement(using: &random) ?? .exact
            )
        }
        let table = try table(routes)
        for host in ["a.test", "b.a.test", "z.a.test", "z.b.a.test", "c.test", "d.test", "test", "*.a.test", ""] {
            for path in segments + ["/xyz", "/x/y/", "/q"] {
                let candidates = table.explain(host: host, path: path)
                let chosen = candidates.filter { $0.verdict == .chosen }.map(\.value)
                let ofPart = table.part(for: host).explain(host: host, path: path)
                #expect(ofPart.map(\.value) == candidates.map(\.value))
                #expect(ofPart.map(\.verdict) == candidates.map(\.verdict))
                switch table.lookup(host: host, path: path) {
                case .found(let value): #expect(chosen == [value], "seed \(seed): \(host) \(path)")
                case .noSuchPath, .noSuchHost: #expect(chosen.isEmpty, "seed \(seed): \(host) \(path)")
                }
            }
        }
    }

    @Test("each loser is told why, in order of precedence")
    func reasons() throws {
        let table = try table([
            ("a.b.test", "/x/y", .prefix), ("a.b.test", "/", .prefix), ("a.b.test", "/x", .prefix),
            ("a.b.test", "/x/yz", .prefix), ("a.b.test", "/x/y/z", .exact), ("a.b.test", "/q", .prefix),
            ("*.b.test", "/x/y/z", .exact), ("*.b.test", "/x", .prefix),
        ])
        let exact = table.explain(host: "a.b.test", path: "/x/y/z")
        #expect(exact.first?.match == .exact("/x/y/z"))
        #expect(exact.map(\.verdict).first == .chosen)
        #expect(exact.count { $0.verdict == .exactPathWins } == 3)
        // `/x/yz` and `/q` do not cover it.
        #expect(exact.count { $0.verdict == .prefixDiffers } == 2)
        #expect(exact.suffix(2).map(\.verdict) == [.exactHostWins, .exactHostWins])
        let prefixed = table.explain(host: "a.b.test", path: "/x/yy")
        func verdict(_ match: PathMatch) -> RouteCandidate<String>.Verdict? {
            prefixed.first { $0.host == "a.b.test" && $0.match == match }?.verdict
        }
        #expect(verdict(.prefix("/x")) == .chosen)
        #expect(verdict(.prefix("")) == .longerPrefixWins)
        #expect(verdict(.prefix("/x/y")) == .segmentDiffers)
        #expect(verdict(.prefix("/x/yz")) == .prefixDiffers)
        #expect(verdict(.prefix("/q")) == .prefixDiffers)
        #expect(verdict(.exact("/x/y/z")) == .pathDiffers)
        #expect(prefixed.suffix(2).map(\.verdict) == [.exactHostWins, .exactHostWins])
        #expect(prefixed.filter { $0.verdict == .chosen }.count == 1)
    }

    @Test("a wildcard serves names that are not listed, and its losers are told, too")
    func wildcard() throws {
        let table = try table([("*.b.test", "/x", .prefix), ("*.b.test", "/y", .prefix)])
        let candidates = table.explain(host: "any.b.test", path: "/y")
        #expect(candidates.map(\.host) == ["*.b.test", "*.b.test"])
        #expect(Set(candidates.map(\.verdict)) == [.chosen, .prefixDiffers])
        #expect(table.explain(host: "any.other.test", path: "/y").isEmpty)
    }
}
