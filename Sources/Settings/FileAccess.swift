import Foundation

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

enum FileAccess {
    /// Why the path is not a file that can be read, in the words of the operating system; nil if it is.
    static func problem(reading path: String) -> String? {
        guard !path.isEmpty else { return "the path is empty" }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return String(cString: strerror(errno)) }
        return status.st_mode & S_IFMT == S_IFDIR ? "it is a directory" : nil
    }

    /// Why the path is not a directory that can be listed, in the words of the operating system; nil if it is.
    static func problem(listing path: String) -> String? {
        guard let directory = opendir(path) else { return String(cString: strerror(errno)) }
        closedir(directory)
        return nil
    }

    /// The file's bytes, or an error that says why it cannot be read.
    static func contents(of path: String, setting: String) throws(SettingsError) -> Data {
        if let problem = problem(reading: path) {
            throw SettingsError(setting: setting, value: path, problem: "cannot be read: \(problem)")
        }
        do {
            return try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw SettingsError(setting: setting, value: path, problem: "cannot be read: \(error.localizedDescription)")
        }
    }
}
