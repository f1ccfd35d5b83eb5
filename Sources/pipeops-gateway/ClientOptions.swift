import ArgumentParser

/// What bounds users' clients.
struct ClientOptions: ParsableArguments {
    @Option(
        help: .init(
            """
            Connections of users open at a time; those beyond are closed at once. Default: three quarters of the files \
            that the process may have open, and no more than 50000. [PIPEOPS_GATEWAY_MAX_CONNECTIONS]
            """,
            valueName: "number"))
    var maxConnections: String?

    @Option(
        help: .init(
            """
            Those of one IPv4 address, or one IPv6 network of 64 bits; trusted proxies may have any number. \
            Default: 0, any number. [PIPEOPS_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS]
            """,
            valueName: "number"))
    var maxConnectionsPerAddress: String?

    @Option(
        help: .init(
            """
            How long the head of a request may take from its first byte; then 408. \
            Default: 15s. [PIPEOPS_GATEWAY_HEADER_TIMEOUT]
            """,
            valueName: "duration"))
    var headerTimeout: String?

    @Option(
        help: .init(
            """
            How long a connection may be without a request. Default: 75s. \
            [PIPEOPS_GATEWAY_KEEP_ALIVE_TIMEOUT]
            """,
            valueName: "duration"))
    var keepAliveTimeout: String?

    @Option(
        help: .init(
            """
            The longest from the head of a request to the end of its answer, WebSockets and the like excepted. \
            Default: 0s, any time. [PIPEOPS_GATEWAY_REQUEST_TIMEOUT]
            """,
            valueName: "duration"))
    var requestTimeout: String?

    @Option(
        help: .init(
            """
            The longest request line, up to max-header-size; beyond it 414. Default: 32KiB. \
            [PIPEOPS_GATEWAY_MAX_REQUEST_LINE]
            """,
            valueName: "size"))
    var maxRequestLine: String?

    @Option(
        help: .init(
            """
            The largest head of a request, up to 96KiB; beyond it 431. Default: 64KiB. \
            [PIPEOPS_GATEWAY_MAX_HEADER_SIZE]
            """,
            valueName: "size"))
    var maxHeaderSize: String?

    @Option(
        help: .init(
            """
            The most fields of a head; beyond it 431. Default: 1000. [PIPEOPS_GATEWAY_MAX_HEADER_COUNT]
            """,
            valueName: "number"))
    var maxHeaderCount: String?

    @Option(
        help: .init(
            """
            The longest body of a request; beyond it 413. The annotation gateway.pipeops.io/max-body-size of an \
            Ingress can lower it. Default: 0, any. [PIPEOPS_GATEWAY_MAX_BODY_SIZE]
            """,
            valueName: "size"))
    var maxBodySize: String?

    @Option(
        name: .customLong("http2-max-streams"),
        help: .init(
            "Requests at a time on one connection of HTTP/2. Default: 128. [PIPEOPS_GATEWAY_HTTP2_MAX_STREAMS]",
            valueName: "number"))
    var http2MaxStreams: String?
}
