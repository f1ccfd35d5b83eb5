import Crypto
import Foundation
import Yams

/// The clusters that may connect, by the SHA-256 of their tokens. Tokens themselves are nowhere kept.
///
/// ```yaml
/// clusters:
///   - uuid: 6f1c…
///     tokenSHA256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
/// ```
package struct ClusterDirectory: Sendable {
    private var clusters: [[UInt8]: String] = [:]

    /// Reads the file, YAML or JSON.
    ///
    /// - Throws: `ClusterDirectoryError`, one line that names the file and the entry.
    package init(path: String) throws {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw ClusterDirectoryError(path: path, problem: "cannot be read")
        }
        try self.init(text: text, path: path)
    }

    init(text: String, path: String) throws {
        let file: File
        do {
            file = try YAMLDecoder().decode(File.self, from: text)
        } catch {
            throw ClusterDirectoryError(path: path, problem: "is not a list of clusters with uuid and tokenSHA256")
        }
        for (index, entry) in file.clusters.enumerated() {
            let uuid = entry.uuid.lowercased()
            guard !uuid.isEmpty, uuid.utf8.count <= 63, uuid.utf8.allSatisfy(Self.isLabelByte) else {
                throw ClusterDirectoryError(
                    path: path, problem: "clusters[\(index)].uuid is not a DNS label of letters, digits and hyphens")
            }
            guard let digest = Self.bytes(hex: entry.tokenSHA256), digest.count == SHA256.byteCount else {
                throw ClusterDirectoryError(
                    path: path, problem: "clusters[\(index)].tokenSHA256 is not 64 hexadecimal digits")
            }
            guard clusters.updateValue(uuid, forKey: digest) == nil else {
                throw ClusterDirectoryError(path: path, problem: "clusters[\(index)].tokenSHA256 stands there twice")
            }
        }
    }

    /// The cluster a token belongs to.
    ///
    /// What is looked up is the token's digest: how long that takes tells nothing about any token.
    package func cluster(token: String) -> String? { clusters[[UInt8](SHA256.hash(data: Data(token.utf8)))] }

    private struct File: Decodable {
        struct Entry: Decodable {
            var uuid: String
            var tokenSHA256: String
        }
        var clusters: [Entry]
    }

    private static func isLabelByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
    }

    private static func bytes(hex: String) -> [UInt8]? {
        let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == hex.utf8.count, digits.count.isMultiple(of: 2) else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

/// A clusters file that cannot be used.
package struct ClusterDirectoryError: Error, Hashable, CustomStringConvertible {
    package var path: String
    package var problem: String

    package var description: String { "clusters-file \(path) \(problem)" }
}
