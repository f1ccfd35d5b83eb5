import Foundation
import Routing
import Testing

@testable import EdgeGateway

@Suite("Which certificate a client is shown")
struct CertificateTableTests {
    private func entry(
        _ name: String, _ hosts: [String], until expires: TimeInterval = 1000
    ) throws -> CertificateTable<String>.Entry {
        .init(
            name: name, isDefault: name == "default", hosts: try hosts.map { try Hostname($0) },
            expires: Date(timeIntervalSince1970: expires),
            value: name)
    }

    @Test(
        "exact before wildcard before default; a wildcard stands for one label",
        arguments: [
            ("www.example.com", "exact"), ("WWW.Example.COM", "exact"), ("www.example.com.", "exact"),
            ("api.example.com", "wild"), ("x.api.example.com", "deeper"), ("y.x.api.example.com", "default"),
            ("example.com", "default"), (".example.com", "default"), ("com", "default"), ("", "default"),
            ("other.test", "default"), ("*.example.com", "wild"),
        ])
    func choice(name: String, certificate: String) throws {
        let table = CertificateTable([
            try entry("wild", ["*.example.com"]), try entry("exact", ["www.example.com", "exact.test"]),
            try entry("default", ["fallback.test"]), try entry("deeper", ["*.api.example.com"]),
        ])
        #expect(table.choose(serverName: name) == certificate)
        #expect(table.choose(serverName: nil) == "default")
    }

    @Test("without a default an unknown name gets nothing, and no name the first certificate")
    func withoutDefault() throws {
        let table = CertificateTable([try entry("b", ["b.test"]), try entry("a", ["*.a.test"])])
        #expect(table.choose(serverName: "nobody.test") == nil)
        #expect(table.choose(serverName: "a.test") == nil)
        #expect(table.choose(serverName: "b.test") == "b")
        #expect(table.choose(serverName: nil) == "a")
        #expect(CertificateTable<String>().choose(serverName: nil) == nil)
        #expect(CertificateTable<String>().choose(serverName: "a.test") == nil)
    }

    @Test("of two certificates for a name the one that lasts longer is shown, whichever comes first")
    func successor() throws {
        for (first, second) in [(1000.0, 2000.0), (2000.0, 1000.0)] {
            let table = CertificateTable([
                try entry("a", ["x.test", "*.x.test"], until: first),
                try entry("b", ["x.test", "*.x.test"], until: second),
            ])
            let longer = first > second ? "a" : "b"
            #expect(table.choose(serverName: "x.test") == longer)
            #expect(table.choose(serverName: "y.x.test") == longer)
        }
        let equal = CertificateTable([try entry("b", ["x.test"]), try entry("a", ["x.test"])])
        #expect(equal.choose(serverName: "x.test") == "a")
    }
}

@Suite("When certificates that end are spoken of")
struct CertificateExpiryTests {
    private let day: TimeInterval = 86_400
    private let end = Date(timeIntervalSince1970: 100 * 86_400)

    private func notices(
        _ expiry: inout CertificateExpiry, before: TimeInterval, expires: Date? = nil
    ) -> [CertificateExpiry.Notice] {
        expiry.notices(at: end.addingTimeInterval(-before), of: [("a", expires ?? end)])
    }

    @Test("a warning a day from thirty days before, an error at the end and a day later again")
    func days() {
        var expiry = CertificateExpiry()
        #expect(notices(&expiry, before: 30 * day + 1) == [])
        #expect(notices(&expiry, before: 30 * day) == [.soon(certificate: "a", days: 30)])
        #expect(notices(&expiry, before: 29 * day + 1) == [])
        #expect(notices(&expiry, before: 29 * day) == [.soon(certificate: "a", days: 29)])
        #expect(notices(&expiry, before: day / 2) == [.soon(certificate: "a", days: 0)])
        #expect(notices(&expiry, before: 1) == [])
        #expect(notices(&expiry, before: 0) == [.over(certificate: "a")])
        #expect(notices(&expiry, before: -1) == [])
        #expect(notices(&expiry, before: -day) == [.over(certificate: "a")])
    }

    @Test("a renewed certificate is a new one, and one that is gone is forgotten")
    func renewal() {
        var expiry = CertificateExpiry()
        #expect(notices(&expiry, before: day).count == 1)
        #expect(notices(&expiry, before: day, expires: end.addingTimeInterval(60 * day)) == [])
        #expect(notices(&expiry, before: day) == [.soon(certificate: "a", days: 1)])
        #expect(expiry.notices(at: end, of: []) == [])
        #expect(notices(&expiry, before: day) == [.soon(certificate: "a", days: 1)])
    }
}
