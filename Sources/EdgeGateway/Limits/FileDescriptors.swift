#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The file descriptors of this process.
enum FileDescriptors {
    /// What is asked for where there is no limit.
    private static let enough: rlim_t = 1 << 20

    /// Raises the limit as far as the process may; returns what it is then.
    static func raiseLimit() -> Int {
        #if canImport(Glibc)
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let files = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(files, &limit) == 0 else { return 1024 }
        #if canImport(Darwin)
        // More than this is refused there, whatever the limit says.
        let most = min(limit.rlim_max, rlim_t(OPEN_MAX))
        #else
        let most = min(limit.rlim_max, enough)
        #endif
        if limit.rlim_cur < most {
            let before = limit.rlim_cur
            limit.rlim_cur = most
            if setrlimit(files, &limit) != 0 { limit.rlim_cur = before }
        }
        return Int(clamping: min(limit.rlim_cur, enough))
    }
}
