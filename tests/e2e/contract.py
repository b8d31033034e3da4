"""Holds what the dashboard answers against its own document, /api/v1/openapi.json: a good answer has a status, a media type and
a body that are described, and no member that is not."""
import copy
import json
import re

import jsonschema


def closed(schema):
    """The same, where it says what members an object has, without room for others."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema or "allOf" in schema:  # a member of allOf says only a part, and stays as it is
        return schema | {"unevaluatedProperties": False}
    result = {name: {key: closed(one) for key, one in value.items()} if name == "properties" else
              closed(value) if name in ("items", "additionalProperties", "anyOf") else value for name, value in schema.items()}
    return result | {"unevaluatedProperties": False} if "properties" in schema else result


class Contract:
    def __init__(self, document):
        self.document, self.validators = document, {}
        schemas = document["components"]["schemas"]
        for schema in schemas.values():
            jsonschema.Draft202012Validator.check_schema(schema)
        # What stands under a name is closed where the name is used: it may be a part of another.
        self.schemas = {name: {**closed(copy.deepcopy(schema))} for name, schema in schemas.items()}
        for schema in self.schemas.values():
            schema.pop("unevaluatedProperties", None)
        self.patterns = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$"), path) for path in
                         sorted(document["paths"], key=lambda path: path.count("{"))]
        self.held = set()  # (method, pattern, status) of answers that were looked at

    def pattern(self, path):
        return next((pattern for match, pattern in self.patterns if match.match(path.split("?")[0])), None)

    def validator(self, method, pattern, status, media):
        key = (method, pattern, status, media)
        if key not in self.validators:
            described = self.document["paths"][pattern][method.lower()]["responses"].get(str(status))
            assert described is not None, f"{method} {pattern} answers {status}, which the document does not have"
            content = described.get("content", {})
            assert media in content if media else not content, f"{method} {pattern} answers {status} {media}, not {list(content)}"
            schema = content.get(media, {}).get("schema")
            self.validators[key] = schema and jsonschema.Draft202012Validator(
                closed(schema) | {"components": {"schemas": self.schemas}})
        return self.validators[key]

    def hold(self, method, path, status, media, text):
        """The first thing that is wrong with a good answer; None: nothing, or what is asked is no part of the API."""
        pattern = self.pattern(path)
        if not pattern:
            return None
        self.held.add((method, pattern, status))
        validator = self.validator(method, pattern, status, media.split(";")[0])
        faults = list(validator.iter_errors(json.loads(text))) if validator else []
        # What is wrong in a part makes the members of the part strangers to the whole.
        fault = next((one for one in faults if one.validator != "unevaluatedProperties"), faults[0] if faults else None)
        while fault and fault.context:
            fault = fault.context[0]
        return fault and f"{method} {path} {status}: at {list(fault.absolute_path)}: {fault.message[:300]}"
