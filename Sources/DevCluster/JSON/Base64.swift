import Foundation

/// Base64 as the Kubernetes API uses it: standard alphabet, padded.
enum Base64 {
    static func encode(_ bytes: some Collection<UInt8>) -> String {
        Data(bytes).base64EncodedString()
    }
}
