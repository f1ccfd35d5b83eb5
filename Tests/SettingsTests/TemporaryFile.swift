import Foundation

/// Gives the path of a file with this content to the body, and removes the file afterwards.
func withTemporaryFile<Result>(
    _ content: String, suffix: String = ".txt", body: (String) throws -> Result
) throws -> Result {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("settings-\(UUID().uuidString)\(suffix)")
    try Data(content.utf8).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try body(url.path)
}
