/// A cluster's uuid as files, tokens and certificates write it.
enum ClusterName {
    /// The uuid in lower case; nil unless it is a DNS label (RFC 1123 §2.1), since the cluster's own host names contain
    /// it.
    static func canonical(_ text: String) -> String? {
        let name = text.lowercased()
        guard !name.isEmpty, name.utf8.count <= 63, name.utf8.allSatisfy(isLabelByte) else { return nil }
        return name
    }

    private static func isLabelByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
    }
}
