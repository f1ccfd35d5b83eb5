import Settings

extension AgentSettings {
    /// The proxy to the gateway: the setting, or what the environment says, as curl and Go read it: `https_proxy` for
    /// `wss`, `http_proxy` for `ws`, in lower case before upper case, except where `no_proxy` lists the gateway.
    ///
    /// A proxy's URL may hold a password: no error repeats it.
    static func proxy(
        _ reader: SettingsReader<Name>, to gateway: EndpointURL, environment: [String: String]
    ) throws(SettingsError) -> ProxyURL? {
        if let given = reader.given(.gatewayProxy) {
            guard !given.isList, let proxy = ProxyURL(given.text) else {
                throw SettingsError(setting: given.source.description, problem: "must be \(ProxyURL.expected)")
            }
            return proxy
        }
        func first(_ name: String) -> (variable: String, text: String)? {
            for variable in [name, name.uppercased()] {
                if let text = environment[variable], !text.isEmpty { return (variable, text) }
            }
            return nil
        }
        guard let given = first(gateway.usesTLS ? "https_proxy" : "http_proxy") else { return nil }
        let exclusions = ProxyExclusions(first("no_proxy")?.text ?? "")
        guard !exclusions.contains(host: gateway.host, port: gateway.port) else { return nil }
        guard let proxy = ProxyURL(given.text) else {
            throw SettingsError(
                setting: given.variable,
                problem: "must be \(ProxyURL.expected); or list \(gateway.host) in NO_PROXY to connect without a proxy")
        }
        return proxy
    }

    /// The agent's certificate for the gateway: both files, or neither.
    static func clientCertificate(
        _ reader: SettingsReader<Name>
    ) throws(SettingsError) -> GatewayTLS.ClientCertificate? {
        let certificate = try reader.readableFile(.gatewayClientCertificate)
        let key = try reader.readableFile(.gatewayClientKey)
        switch (certificate, key) {
        case (nil, nil): return nil
        case (let certificate?, let key?): return .init(certificateFile: certificate, keyFile: key)
        case (_?, nil):
            throw reader.refusal(of: .gatewayClientCertificate, problem: "needs gateway-client-key, the key to it")
        case (nil, _?):
            throw reader.refusal(of: .gatewayClientKey, problem: "needs gateway-client-certificate, which it is for")
        }
    }
}
