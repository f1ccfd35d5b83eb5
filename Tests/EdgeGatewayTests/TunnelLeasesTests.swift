import Foundation
import TestSupport
import Testing

@testable import EdgeGateway

/// Transcripts: what changes, and which tunnels it ends.
@Suite("Tunnels whose credential ends")
struct TunnelLeasesTests {
    private static let time = Date(timeIntervalSince1970: 1_800_000_000)

    private func credentials(_ text: String, _ verifier: TokenVerifier? = nil) throws -> Credentials {
        Credentials(directory: try ClusterDirectory(text: text, path: "f"), verifier: verifier)
    }

    private func listed(_ token: String, _ cluster: String, _ hostnames: AllowedHostnames = .all) -> TunnelIdentity {
        TunnelIdentity(cluster: cluster, hostnames: hostnames, credential: .listedToken(TokenDigest(of: token)))
    }

    private func sorted(_ actions: [TunnelLeases.Action]) -> [String] { actions.map { "\($0)" }.sorted() }

    private static let (old, new, other) = (SHA256Hex.text("old"), SHA256Hex.text("new"), SHA256Hex.text("other"))

    @Test("a rotation closes nothing until the old token is removed, and then only its own tunnels")
    func rotation() throws {
        var leases = TunnelLeases()
        leases.add("t-old", listed("old", "a"), now: Self.time, random: 0)
        leases.add("t-other", listed("other", "b"), now: Self.time, random: 0)
        let before = try credentials(
            "clusters: [{uuid: a, tokenSHA256: \(Self.old)}, {uuid: b, tokenSHA256: \(Self.other)}]")
        #expect(leases.look(at: before, now: Self.time).isEmpty)
        let overlap = try credentials(
            "clusters: [{uuid: a, tokenSHA256: [\(Self.new), \(Self.old)]}, {uuid: b, tokenSHA256: \(Self.other)}]")
        #expect(leases.look(at: overlap, now: Self.time).isEmpty)
        leases.add("t-new", listed("new", "a"), now: Self.time, random: 0)
        let after = try credentials(
            "clusters: [{uuid: a, tokenSHA256: \(Self.new)}, {uuid: b, tokenSHA256: \(Self.other)}]")
        #expect(leases.look(at: after, now: Self.time) == [.close("t-old", .revoked)])
        #expect(leases.look(at: after, now: Self.time).isEmpty, "once")
        #expect(leases.count == 2)
        let moved = try credentials("clusters: [{uuid: c, tokenSHA256: \(Self.new)}]\nrevoked: [b]")
        #expect(
            sorted(leases.look(at: moved, now: Self.time))
                == sorted([.close("t-new", .revoked), .close("t-other", .revoked)]))
    }

    @Test("other host names end what they do not allow and ask for the routes again, once")
    func hostnames() throws {
        var leases = TunnelLeases()
        leases.add("t", listed("old", "a"), now: Self.time, random: 0)
        let narrow = try credentials("clusters: [{uuid: a, tokenSHA256: \(Self.old), hostnames: [x.test]}]")
        #expect(
            leases.look(at: narrow, now: Self.time) == [.restrict("t", cluster: "a", try AllowedHostnames(["x.test"]))])
        #expect(leases.look(at: narrow, now: Self.time).isEmpty)
        let wide = try credentials("clusters: [{uuid: a, tokenSHA256: \(Self.old)}]")
        #expect(leases.look(at: wide, now: Self.time) == [.restrict("t", cluster: "a", .all)])
    }

    @Test("a token that expires has its tunnel drained before, each at another moment, and closed at the end")
    func expiry() async throws {
        let signer = try await TokenSigner(.edDSA)
        let keys = try await TokenKeys(Data(TokenSigner.set(signer).utf8), path: "f")
        let verifier = TokenVerifier(keys: keys, issuer: nil, audience: nil)
        let credentials = Credentials(directory: .empty, verifier: verifier)
        let key = try #require(keys.key("k1")).id
        func identity(_ seconds: TimeInterval) -> TunnelIdentity {
            TunnelIdentity(
                cluster: "a", hostnames: .all, credential: .signedToken(key: key), expires: Self.time + seconds)
        }
        var leases = TunnelLeases()
        leases.add("early", identity(3600), now: Self.time, random: 0)
        leases.add("late", identity(3600), now: Self.time, random: 0.999)
        leases.add("short", identity(100), now: Self.time, random: 0)
        #expect(leases.look(at: credentials, now: Self.time + 89).isEmpty)
        #expect(leases.look(at: credentials, now: Self.time + 90) == [.renew("short", seconds: 10)])
        #expect(leases.look(at: credentials, now: Self.time + 91).isEmpty)
        #expect(leases.look(at: credentials, now: Self.time + 100) == [.close("short", .expired)])
        #expect(leases.look(at: credentials, now: Self.time + 3539).isEmpty)
        #expect(leases.look(at: credentials, now: Self.time + 3540) == [.renew("early", seconds: 60)])
        #expect(leases.look(at: credentials, now: Self.time + 3568).isEmpty)
        #expect(leases.look(at: credentials, now: Self.time + 3571) == [.renew("late", seconds: 29)])
        leases.remove("early")
        #expect(leases.look(at: credentials, now: Self.time + 3600) == [.close("late", .expired)])
        leases.add("gone", identity(-5), now: Self.time, random: 0)
        #expect(leases.look(at: credentials, now: Self.time) == [.close("gone", .expired)])
        leases.add("keyless", identity(3600), now: Self.time, random: 0)
        #expect(
            leases.look(at: Credentials(directory: .empty), now: Self.time) == [.close("keyless", .revoked)])
    }
}
