package import NIOCore

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// `SO_REUSEPORT`: several processes may listen on one port, if all of them ask for it and belong to one user; the
/// kernel spreads new connections over them.
package enum SharedPort {
    package static var option: ChannelOptions.Types.SocketOption {
        ChannelOptions.Types.SocketOption(level: .socket, name: NIOBSDSocket.Option(rawValue: SO_REUSEPORT))
    }
}
