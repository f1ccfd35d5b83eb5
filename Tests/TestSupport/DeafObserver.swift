package import TunnelProtocol
package import TunnelTransport

/// An end of a tunnel that lets everything pass.
package struct DeafObserver: TunnelObserver {
    package init() {}

    package func tunnelReceived(_ text: String) -> Bool { true }
    package func streamOpened(
        _ head: RequestHead, endStream: Bool, on tunnel: Tunnel
    ) -> (any AcceptedStreamReceiver)? { nil }
    package func tunnelDraining(_ detail: String) {}
    package func streamRefused(_ code: ResetCode, detail: String) {}
    package func tunnelClosed(_ reason: TunnelCloseReason) {}
}
