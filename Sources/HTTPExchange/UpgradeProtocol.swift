package import TunnelProtocol

/// Which protocols a connection may be switched to (RFC 9110 §7.8).
package enum UpgradeProtocol {
    /// Whether none of the protocols that `Upgrade` names is HTTP/2: requests inside it would pass by the routes, which
    /// both ends look up for HTTP/1.1 requests only.
    package static func mayPass(_ fields: HeaderFields) -> Bool {
        var mayPass = true
        fields.forEachField { field in
            guard field.isNamed("upgrade") else { return }
            field.forEachMember { if !Self.mayPass($0) { mayPass = false } }
        }
        return mayPass
    }

    package static func mayPass(_ value: String) -> Bool { mayPass(["Upgrade": value]) }

    /// `h2c`, `h2`, `HTTP/2.0` and whatever else begins like them.
    private static func mayPass(_ name: UnsafeRawBufferPointer) -> Bool {
        func begins(_ prefix: StaticString) -> Bool {
            name.count >= prefix.utf8CodeUnitCount
                && UnsafeRawBufferPointer(rebasing: name[..<prefix.utf8CodeUnitCount]).equalsIgnoringCase(prefix)
        }
        return !begins("h2") && !begins("http")
    }
}
