package import KubernetesAPI

/// Where the usual ingress controllers put the Service that receives their traffic.
package enum KnownIngressControllers {
    /// In order of preference. The first is the one that `kubectl apply` of ingress-nginx and its chart make.
    package static let services: [ObjectKey] = [
        ObjectKey(namespace: "ingress-nginx", name: "ingress-nginx-controller"),
        // RKE2.
        ObjectKey(namespace: "kube-system", name: "rke2-ingress-nginx-controller"),
        // k3s, then Traefik's own chart.
        ObjectKey(namespace: "kube-system", name: "traefik"),
        ObjectKey(namespace: "traefik", name: "traefik"),
        // HAProxy Technologies, then the community's controller.
        ObjectKey(namespace: "haproxy-controller", name: "haproxy-kubernetes-ingress"),
        ObjectKey(namespace: "ingress-controller", name: "haproxy-ingress"),
        // Kong, by chart.
        ObjectKey(namespace: "kong", name: "kong-gateway-proxy"),
        ObjectKey(namespace: "kong", name: "kong-kong-proxy"),
        ObjectKey(namespace: "kong", name: "kong-proxy"),
        // Contour.
        ObjectKey(namespace: "projectcontour", name: "envoy"),
        ObjectKey(namespace: "projectcontour", name: "contour-envoy"),
        // NGINX Inc., by manifest and by chart.
        ObjectKey(namespace: "nginx-ingress", name: "nginx-ingress"),
        ObjectKey(namespace: "nginx-ingress", name: "nginx-ingress-controller"),
    ]

    /// The labels that the usual charts and manifests put on that Service, in order of preference. Services of the same
    /// installation for webhooks, metrics or administration have them too, and no port for HTTP.
    package static let labels: [[String: String]] = [
        ["app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"],
        ["app.kubernetes.io/name": "rke2-ingress-nginx", "app.kubernetes.io/component": "controller"],
        ["app.kubernetes.io/name": "traefik"],
        // HAProxy Technologies, then the community's controller.
        ["app.kubernetes.io/name": "kubernetes-ingress"],
        ["app.kubernetes.io/name": "haproxy-ingress"],
        // Kong by its first chart, then the gateway of its ingress chart.
        ["app.kubernetes.io/name": "kong"],
        ["app.kubernetes.io/name": "gateway", "app.kubernetes.io/instance": "kong"],
        ["app.kubernetes.io/name": "contour", "app.kubernetes.io/component": "envoy"],
        // NGINX Inc.
        ["app.kubernetes.io/name": "nginx-ingress"],
    ]

    private static let plainHTTP2Services: Set<ObjectKey> = [
        ObjectKey(namespace: "kube-system", name: "traefik"), ObjectKey(namespace: "traefik", name: "traefik"),
        ObjectKey(namespace: "haproxy-controller", name: "haproxy-kubernetes-ingress"),
        ObjectKey(namespace: "ingress-controller", name: "haproxy-ingress"),
        ObjectKey(namespace: "projectcontour", name: "envoy"),
        ObjectKey(namespace: "projectcontour", name: "contour-envoy"),
    ]
    private static let plainHTTP2Names: Set<String> = ["traefik", "kubernetes-ingress", "haproxy-ingress", "contour"]

    /// Whether the controller with this Service is known to take HTTP/2 in plain text: Traefik, HAProxy and Contour.
    static func takePlainHTTP2(_ service: Service) -> Bool {
        plainHTTP2Services.contains(service.key)
            || service.metadata.labels?["app.kubernetes.io/name"].map(plainHTTP2Names.contains) == true
    }
}
