extension ClusterState {
    /// Answers the reviews, which are questions and not objects: this server allows everything to whoever has its token.
    func review(
        _ request: APIRequest, resource: APIResource, path: APIPath.Resource
    ) throws(APIStatus) -> APIReply {
        guard request.method == "POST", path.name == nil else {
            throw .methodNotAllowed("the server does not allow this method on the requested resource")
        }
        var object = try Self.decodeObject(request)
        try Self.checkType(&object, resource)
        let user: JSONValue = ["username": "devcluster-admin", "groups": ["system:masters", "system:authenticated"]]
        switch resource.kind {
        case "SelfSubjectReview":
            object["status"] = ["userInfo": user]
        case "TokenReview":
            object["status"] = ["authenticated": true, "user": user]
        case "SelfSubjectRulesReview":
            let everything: JSONValue = ["verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]]
            object["status"] = [
                "incomplete": false, "resourceRules": [everything],
                "nonResourceRules": [["verbs": ["*"], "nonResourceURLs": ["*"]]],
            ]
        default:
            object["status"] = ["allowed": true, "reason": "this server allows everything"]
        }
        return .document(object, code: 201)
    }
}
