/// `events.k8s.io/v1` Event: something worth telling a person about an object.
package struct Event: KubernetesResource, Hashable {
    package static let definition = ResourceDefinition(
        group: "events.k8s.io", version: "v1", plural: "events", kind: "Event")

    package var metadata: ObjectMeta
    /// When the event was first observed.
    package var eventTime: MicroTime?
    /// Present from the second occurrence on.
    package var series: Series?
    /// The controller that reports, as a qualified name such as `example.com/my-controller`.
    package var reportingController: String?
    /// The instance of that controller, at most 128 characters.
    package var reportingInstance: String?
    /// What was done or failed, CamelCase, at most 128 characters.
    package var action: String?
    /// Why, CamelCase, at most 128 characters.
    package var reason: String?
    /// The object the event is about.
    package var regarding: ObjectReference?
    package var related: ObjectReference?
    /// A sentence for people, at most 1 KiB.
    package var note: String?
    /// `Normal` or `Warning`.
    package var type: String?

    package init(
        metadata: ObjectMeta, eventTime: MicroTime?, series: Series? = nil, reportingController: String?,
        reportingInstance: String?, action: String?, reason: String?, regarding: ObjectReference?,
        related: ObjectReference? = nil, note: String?, type: String?
    ) {
        self.metadata = metadata
        self.eventTime = eventTime
        self.series = series
        self.reportingController = reportingController
        self.reportingInstance = reportingInstance
        self.action = action
        self.reason = reason
        self.regarding = regarding
        self.related = related
        self.note = note
        self.type = type
    }

    /// How often, and when last, an event was seen again.
    package struct Series: Codable, Hashable, Sendable {
        /// Occurrences so far, the first included.
        package var count: Int
        package var lastObservedTime: MicroTime

        package init(count: Int, lastObservedTime: MicroTime) {
            self.count = count
            self.lastObservedTime = lastObservedTime
        }
    }
}

/// Core `v1` ObjectReference: names one object of any type.
package struct ObjectReference: Codable, Hashable, Sendable {
    package var apiVersion: String?
    package var kind: String?
    package var namespace: String?
    package var name: String?
    package var uid: String?
    package var resourceVersion: String?
    package var fieldPath: String?

    package init(
        apiVersion: String?, kind: String?, namespace: String? = nil, name: String?, uid: String? = nil,
        resourceVersion: String? = nil, fieldPath: String? = nil
    ) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.fieldPath = fieldPath
    }

    /// A reference to `object`, without its resource version: events about two revisions of an object are about the
    /// same thing.
    package init<R: KubernetesResource>(to object: R) {
        self.init(
            apiVersion: R.definition.apiVersion, kind: R.definition.kind, namespace: object.metadata.namespace,
            name: object.metadata.name, uid: object.metadata.uid)
    }
}
