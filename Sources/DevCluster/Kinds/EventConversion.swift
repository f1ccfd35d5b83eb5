/// Events exist in two spellings, core/v1 and events.k8s.io/v1, over one storage; they are kept as core/v1.
package enum EventConversion {
    private static let names: [(core: String, events: String)] = [
        ("involvedObject", "regarding"), ("message", "note"), ("reportingComponent", "reportingController"),
        ("source", "deprecatedSource"), ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"), ("count", "deprecatedCount"),
    ]

    /// The events.k8s.io/v1 spelling of a core/v1 event.
    package static func eventsGroup(fromCore event: JSONValue) -> JSONValue {
        var result = event
        for (core, events) in names {
            if let value = result[core] {
                result[core] = nil
                result[events] = value
            }
        }
        return result
    }

    /// The core/v1 spelling of an events.k8s.io/v1 event.
    package static func core(fromEventsGroup event: JSONValue) -> JSONValue {
        var result = event
        for (core, events) in names {
            if let value = result[events] {
                result[events] = nil
                result[core] = value
            }
        }
        return result
    }

    /// What a new event of events.k8s.io/v1 must have.
    package static func problems(ofNew event: JSONValue) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        if event.text("eventTime").isEmpty { causes.append(.required("eventTime")) }
        for field in ["reportingController", "reportingInstance", "action", "reason"] {
            let text = event.text(field)
            if text.isEmpty {
                causes.append(.required(field))
            } else if text.utf8.count > 128 {
                causes.append(.invalid(field, .string(text), "can have at most 128 characters"))
            }
        }
        if !["Normal", "Warning"].contains(event.text("type")) {
            causes.append(.invalid("type", event["type"] ?? "", "has invalid value: \(event.text("type"))"))
        }
        if event.text("note").utf8.count > 1024 {
            causes.append(.invalid("note", "", "can have at most 1024 characters"))
        }
        if let time = event["eventTime"]?.stringValue, Timestamp(time) == nil {
            causes.append(.invalid("eventTime", .string(time), "must be an RFC 3339 time"))
        }
        if let series = event["series"], !series.isNull {
            if (series.integer("count") ?? 0) < 2 {
                causes.append(.invalid("series.count", series["count"] ?? 0, "should be at least 2"))
            }
            if series.text("lastObservedTime").isEmpty { causes.append(.required("series.lastObservedTime")) }
        }
        return causes
            + namespaceProblems(
                event.text("metadata", "namespace"), object: event["regarding"], field: "regarding.namespace")
    }

    /// An event must be in the namespace of what it is about; about cluster-scoped things it is in `default`.
    package static func namespaceProblems(
        _ namespace: String, object: JSONValue?, field: String
    ) -> [APIStatus.Cause] {
        let about = object?.text("namespace") ?? ""
        let fits = about.isEmpty ? namespace == "default" || namespace == "kube-system" : about == namespace
        return fits ? [] : [.invalid(field, .string(about), "does not match event.namespace")]
    }

    /// When the event was last seen, in either spelling; RFC 3339.
    package static func lastSeen(_ event: JSONValue) -> String {
        let candidates = [
            event.text("series", "lastObservedTime"), event.text("lastTimestamp"),
            event.text("deprecatedLastTimestamp"), event.text("eventTime"),
            event.text("metadata", "creationTimestamp"),
        ]
        return candidates.first { !$0.isEmpty } ?? ""
    }

    /// When the event was first seen, in either spelling; RFC 3339.
    package static func firstSeen(_ event: JSONValue) -> String {
        let candidates = [
            event.text("firstTimestamp"), event.text("deprecatedFirstTimestamp"), event.text("eventTime"),
        ]
        return candidates.first { !$0.isEmpty } ?? ""
    }

    /// How often the event was seen.
    package static func count(_ event: JSONValue) -> Int64 {
        event.integer("series", "count") ?? event.integer("count") ?? event.integer("deprecatedCount") ?? 1
    }
}
