"""A Google Cloud Storage server on loopback: gcp-storage-emulator, extended by conditional writes.

The emulator ignores ``ifGenerationMatch``; Google answers 412 to an upload with ``ifGenerationMatch=0`` if an object of
that name exists. The emulator serves one request at a time, so check and write are atomic here too.
"""

import http
import sys
import threading
import urllib.parse
from typing import Any

from gcp_storage_emulator import server
from gcp_storage_emulator.handlers import objects

insert = objects.insert


def insert_if_allowed(request: Any, response: Any, storage: Any, *args: Any, **kwargs: Any) -> None:
    if request.query.get("ifGenerationMatch") == ["0"]:
        name = request.query["name"][0] if "name" in request.query else request.data["meta"]["name"]
        if name in storage.objects.get(request.params["bucket_name"], {}):
            response.status = http.HTTPStatus.PRECONDITION_FAILED
            response.json({"error": {"code": 412, "message": "At least one of the pre-conditions did not hold."}})
            return
    insert(request, response, storage, *args, **kwargs)


def main(port: int) -> None:
    server.urlparse = urllib.parse.urlsplit  # for urlparse a ";" ends the path
    objects.insert = insert_if_allowed
    server.HANDLERS = tuple(
        (pattern, {verb: insert_if_allowed if handler is insert else handler for verb, handler in verbs.items()})
        for pattern, verbs in server.HANDLERS
    )
    server.create_server("127.0.0.1", port, in_memory=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
