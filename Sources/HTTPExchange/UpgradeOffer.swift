package import TunnelProtocol

/// The protocols that a client offers in `Upgrade`, and the one that a server takes (RFC 9110 §7.8).
package enum UpgradeOffer {
    /// Whether the offer may reach an application: HTTP/2 may not. What is inside it would pass by the routes of the
    /// gateway and by what the agent has advertised.
    package static func mayPass(_ fields: HeaderFields) -> Bool {
        var mayPass = true
        fields.forEachField { field in
            guard field.isNamed("upgrade") else { return }
            field.forEachMember { if isHTTP($0) { mayPass = false } }
        }
        return mayPass
    }

    /// All that is offered, or chosen, in however many lines (RFC 9110 §5.2); `nil` where that is nothing.
    package static func text(in fields: HeaderFields) -> String? {
        let lines = fields["Upgrade"]
        return lines.isEmpty ? nil : lines.joined(separator: ", ")
    }

    /// The fields of an answer of 426 that say what the application asks for (RFC 9110 §15.5.22); none where that may
    /// not pass.
    package static func required(by fields: HeaderFields) -> String? {
        mayPass(fields) ? text(in: fields) : nil
    }

    package static func mayPass(_ offer: String) -> Bool { mayPass(["Upgrade": offer]) }

    /// `h2c`, `h2`, `HTTP/2.0` and whatever else begins like them.
    private static func isHTTP(_ name: UnsafeRawBufferPointer) -> Bool {
        func begins(_ prefix: StaticString) -> Bool {
            name.count >= prefix.utf8CodeUnitCount
                && UnsafeRawBufferPointer(rebasing: name[..<prefix.utf8CodeUnitCount]).equalsIgnoringCase(prefix)
        }
        return begins("h2") || begins("http/")
    }
}
