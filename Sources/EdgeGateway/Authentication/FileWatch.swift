import Foundation
import Settings

/// Notices that files have changed, by looking. Follows symbolic links, as mounted Kubernetes Secrets are: an update
/// swaps the link to their directory.
struct FileWatch: Sendable {
    /// Changes that come so soon after a look, in seconds, may bear the time stamp of what was seen already.
    private static let resolution = 2.0

    private var paths: [String]
    private var stamps: [FileStamp?] = []
    private var contents: [TokenDigest?] = []
    private var lookedAt = Date.distantPast

    /// Takes what the files hold now as known.
    init(_ paths: [String]) {
        self.paths = paths
        _ = hasChanged()
    }

    /// Whether a file holds something else than at the last call, or has come or gone. Reads it only where its stamp
    /// says that it may.
    mutating func hasChanged() -> Bool {
        let now = paths.map { FileStamp(path: $0) }
        let mayHideChange = stamps.contains { ($0?.modified ?? .distantPast) > lookedAt - Self.resolution }
        guard now != stamps || mayHideChange else { return false }
        stamps = now
        lookedAt = Date()
        let found = paths.map { FileManager.default.contents(atPath: $0).map(TokenDigest.init(of:)) }
        defer { contents = found }
        return found != contents
    }

    /// The same for files that come and go by name: that they are others than at the last call is a change, too.
    mutating func hasChanged(to paths: [String]) -> Bool {
        guard paths != self.paths else { return hasChanged() }
        self = FileWatch(paths)
        return true
    }
}
