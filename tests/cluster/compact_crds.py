"""Make `kuberay_v1.json` from KubeRay's CRDs: `python compact_crds.py FOLDER_OF_CRDS`.

Validation by the compact schemas is as strict as by an API server: descriptions are dropped, repeated subschemas are
written once, and unknown fields are refused. CEL rules are left out.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

KINDS = {"RayCluster": "rayclusters", "RayJob": "rayjobs", "RayCronJob": "raycronjobs"}
SOURCE = "KubeRay 1.7, ray-operator/config/crd/bases, https://github.com/ray-project/kuberay (Apache-2.0)"
MIN_CHARACTERS = 200
KEPT = {"items", "required", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}


def compact(schema: dict[str, Any]) -> dict[str, Any]:
    """One structural schema as JSON Schema, without descriptions."""
    kept: dict[str, Any] = {key: value for key, value in schema.items() if key in KEPT}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "type" in schema:
        kept["type"] = schema["type"]
    if "items" in schema:
        kept["items"] = compact(schema["items"])
    if "properties" in schema:
        kept["properties"] = {name: compact(value) for name, value in schema["properties"].items()}
        kept["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = compact(schema["additionalProperties"])
    return kept


def shared(schemas: dict[str, Any]) -> dict[str, Any]:
    """The schemas with larger repeated parts moved to ``$defs``."""
    counts: Counter[str] = Counter()

    def count(node: Any) -> None:
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            count(child)
        if isinstance(node, dict) and "type" in node:
            counts[json.dumps(node, sort_keys=True)] += 1

    count(schemas)
    repeated = [text for text, number in counts.items() if number > 1 and len(text) >= MIN_CHARACTERS]
    names = {text: f"d{number}" for number, text in enumerate(repeated)}

    def refer(node: Any, is_definition: bool = False) -> Any:
        if isinstance(node, list):
            return [refer(child) for child in node]
        if not isinstance(node, dict):
            return node
        name = names.get(json.dumps(node, sort_keys=True))
        if name is not None and not is_definition:
            return {"$ref": f"#/$defs/{name}"}
        return {key: refer(child) for key, child in node.items()}

    definitions = {name: refer(json.loads(text), is_definition=True) for text, name in names.items()}
    used = {kind: refer(schema) for kind, schema in schemas.items()}
    return {"source": SOURCE, "kinds": used, "$defs": _reachable(used, definitions)}


def _reachable(used: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    reached: dict[str, Any] = {}
    waiting = [json.dumps(used)]
    while waiting:
        text = waiting.pop()
        for name in definitions.keys() - reached.keys():
            if f'"#/$defs/{name}"' in text:
                reached[name] = definitions[name]
                waiting.append(json.dumps(definitions[name]))
    return dict(sorted(reached.items()))


def main(folder: Path) -> None:
    """Read the three CRDs and write one file."""
    schemas = {}
    for kind, plural in KINDS.items():
        definition = yaml.safe_load((folder / f"ray.io_{plural}.yaml").read_text())
        version = next(one for one in definition["spec"]["versions"] if one["name"] == "v1")
        whole = compact(version["schema"]["openAPIV3Schema"])
        whole["properties"].pop("status", None)
        schemas[kind] = whole
    text = json.dumps(shared(schemas), separators=(",", ":"), sort_keys=True)
    Path(__file__).with_name("kuberay_v1.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
