import Foundation
import NIOSSL
import Settings
import Telemetry
import TestSupport
import Testing

@testable import EdgeGateway

@Suite("Certificates from a directory", .timeLimit(.minutes(1)))
struct CertificateWatcherTests {
    /// A directory with certificates and a watcher of it.
    private final class Bench: Sendable {
        let directory = FileManager.default.temporaryDirectory.appending(path: "certificates-\(UUID().uuidString)")
        let certificates: TestCertificates
        let store = CertificateStore()
        let log = LogRecorder()
        let registry = PrometheusRegistry()

        init() throws {
            certificates = try TestCertificates.made.get()
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(at: directory) }

        func watcher() throws -> CertificateWatcher {
            try CertificateWatcher(
                CertificateDirectory(path: directory.path),
                intake: CertificateIntake(
                    [.directory], store: store, factory: registry, logger: log.logger("certificates")),
                interval: .milliseconds(5), logger: log.logger("certificates"))
        }

        /// Puts a certificate for the names there, in files beside each other.
        func put(_ name: String, _ hosts: [String], until expires: Date = TestCertificates.inAnHour) throws {
            let pair = try certificates.server(for: hosts, until: expires)
            try write("\(name).crt", pair.certificate)
            try write("\(name).key", pair.key)
        }

        func write(_ name: String, _ text: String) throws {
            let file = directory.appending(path: name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file, options: .atomic)
        }

        func remove(_ names: String...) throws {
            for name in names { try FileManager.default.removeItem(at: directory.appending(path: name)) }
        }

        var refusals: [String] { log.lines("Certificate refused").compactMap { $0.fields["error"] } }

        func series(_ name: String) -> [String] {
            registry.exposition().split(separator: "\n").map(String.init).filter { $0.hasPrefix(name + "{") }
        }
    }

    @Test("pairs are files beside each other and mounted Secrets; cert-manager's authority and hidden files are none")
    func layout() throws {
        let bench = try Bench()
        try bench.put("plain", ["plain.test"])
        let secret = try bench.certificates.server(for: ["secret.test"])
        try bench.write("mounted/tls.crt", secret.certificate)
        try bench.write("mounted/tls.key", secret.key)
        try bench.write("mounted/ca.crt", bench.certificates.authority)
        try bench.write("ca.crt", bench.certificates.authority)
        try bench.write(".hidden.crt", "x")
        try bench.write("notes.txt", "x")
        try bench.write("empty/README", "x")
        _ = try bench.watcher()
        #expect(bench.store.context(for: "plain.test") != nil)
        #expect(bench.store.context(for: "secret.test") != nil)
        #expect(bench.store.context(for: "nobody.test") == nil)
        #expect(bench.refusals == [])
        #expect(bench.log.lines("Certificate loaded").map { $0.fields["certificate"] } == ["mounted", "plain"])
    }

    @Test("what cannot be used is refused with the file and the reason, and the others are served")
    func refusals() throws {
        let bench = try Bench()
        try bench.put("good", ["good.test"])
        try bench.put("twice", ["first.test"])
        let other = try bench.certificates.server(for: ["other.test"])
        try bench.write("twice/tls.crt", other.certificate)
        try bench.write("twice/tls.key", other.key)
        try bench.write("mismatch.crt", other.certificate)
        try bench.write("mismatch.key", try bench.certificates.server(for: ["x.test"]).key)
        try bench.write("nokey/tls.crt", other.certificate)
        try bench.write("lone.key", other.key)
        try bench.write("text.crt", "no certificate")
        try bench.write("text.key", other.key)
        try bench.write("badkey.crt", other.certificate)
        try bench.write("badkey.key", "no key")
        _ = try bench.watcher()
        #expect(bench.store.context(for: "good.test") != nil)
        let prefix = bench.directory.path + "/"
        let problems = bench.refusals.map { $0.replacing(prefix, with: "") }
        for expected in [
            "badkey.key has no private key in PEM", "lone.crt cannot be read",
            "mismatch.key is not the key to mismatch.crt",
            "nokey/tls.key cannot be read", "text.crt has no certificate in PEM",
            "twice/tls.crt has the name of another certificate, twice",
        ] {
            #expect(problems.contains { $0.hasPrefix(expected) }, "\(expected): \(problems)")
        }
        #expect(problems.count == 6)
        #expect(bench.store.context(for: "first.test") != nil)
    }

    @Test("an empty directory is no error and filled later; one that is not there is")
    func empty() async throws {
        let bench = try Bench()
        let watcher = try bench.watcher()
        #expect(bench.log.lines("No certificates, TLS is refused").count == 1)
        #expect(bench.store.context(for: nil) == nil)
        try await withRunning(watcher.run) {
            try bench.put("a", ["a.test"])
            try await eventually("it is served") { bench.store.context(for: "a.test") != nil }
        }
        try FileManager.default.removeItem(at: bench.directory)
        #expect(throws: SettingsError.self) { try bench.watcher() }
    }

    @Test("a change is taken in; what is bad, or cannot be seen, leaves what was before; what is gone goes")
    func reload() async throws {
        let bench = try Bench()
        try bench.put("a", ["a.test"], until: Date(timeIntervalSince1970: 4_000_000_000))
        try bench.put("b", ["b.test"])
        let watcher = try bench.watcher()
        let first = try #require(bench.store.context(for: "a.test"))
        let expiry = "gateway_certificate_expiry_timestamp_seconds"
        #expect(bench.series(expiry).count == 2)
        #expect(bench.series(expiry).contains(#"\#(expiry){certificate="a"} 4000000000"#))
        #expect(bench.series("gateway_certificate_reloads_total").allSatisfy { $0.hasSuffix(" 0") })
        try await withRunning(watcher.run) {
            try bench.put("b", ["new.test"])
            try await eventually("b is another") { bench.store.context(for: "new.test") != nil }
            #expect(bench.store.context(for: "b.test") == nil)
            #expect(bench.store.context(for: "a.test") === first, "what has not changed keeps its sessions")

            try bench.write("a.crt", "broken")
            try await eventually("a is refused") { bench.refusals.contains { $0.contains("/a.crt has no") } }
            #expect(bench.store.context(for: "a.test") === first)
            #expect(
                bench.series("gateway_certificate_reloads_total").contains {
                    $0.contains("error") && !$0.hasSuffix(" 0")
                })

            try bench.remove("a.crt")
            try await eventually("half of it is missing") { bench.refusals.contains { $0.contains("/a.crt cannot") } }
            #expect(bench.store.context(for: "a.test") === first)

            try bench.remove("a.key")
            try await eventually("a is gone") { bench.store.context(for: "a.test") == nil }
            try await eventually("and its series") { bench.series(expiry).count == 1 }

            let away = bench.directory.path + "-away"
            try FileManager.default.moveItem(atPath: bench.directory.path, toPath: away)
            try await eventually("it is told once") { bench.log.lines("Certificates not reloaded").count == 1 }
            #expect(bench.store.context(for: "new.test") != nil)
            try FileManager.default.moveItem(atPath: away, toPath: bench.directory.path)
        }
    }

    @Test("the swap of a mounted Secret's link is a change")
    func mountedSecret() async throws {
        let bench = try Bench()
        let files = FileManager.default
        let folder = bench.directory.path + "/site"
        func publish(_ version: String, _ hosts: [String]) throws {
            let pair = try bench.certificates.server(for: hosts)
            try bench.write("site/\(version)/tls.crt", pair.certificate)
            try bench.write("site/\(version)/tls.key", pair.key)
            try files.createSymbolicLink(atPath: "\(folder)/..data_tmp", withDestinationPath: version)
            #expect(rename("\(folder)/..data_tmp", "\(folder)/..data") == 0)
        }
        try publish("..v1", ["old.test"])
        for name in ["tls.crt", "tls.key"] {
            try files.createSymbolicLink(atPath: "\(folder)/\(name)", withDestinationPath: "..data/\(name)")
        }
        let watcher = try bench.watcher()
        #expect(bench.store.context(for: "old.test") != nil)
        try await withRunning(watcher.run) {
            try publish("..v2", ["new.test"])
            try await eventually("the new one is served") { bench.store.context(for: "new.test") != nil }
        }
        #expect(bench.store.context(for: "old.test") == nil)
    }

    @Test("certificates that end soon, or have ended, are told, and still served")
    func expiry() throws {
        let bench = try Bench()
        try bench.put("soon", ["soon.test"], until: Date().addingTimeInterval(10 * 86_400 + 60))
        try bench.put("over", ["over.test"], until: Date().addingTimeInterval(-60))
        try bench.put("later", ["later.test"], until: Date().addingTimeInterval(31 * 86_400))
        _ = try bench.watcher()
        #expect(
            bench.log.lines("Certificate expires soon").map { "\($0.level) \($0.fields["certificate"] ?? "")" } == [
                "warning soon"
            ])
        #expect(bench.log.lines("Certificate expires soon").first?.fields["days"] == "10")
        #expect(
            bench.log.lines("Certificate has expired").map { "\($0.level) \($0.fields["certificate"] ?? "")" } == [
                "error over"
            ])
        #expect(bench.store.context(for: "over.test") != nil)
    }
}
