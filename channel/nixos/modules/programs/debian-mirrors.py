"""The configuration of mirrors; where none is given, with the one of apt's own example of its sources.  Runs as a builder."""

import json
import os

variables = os.environ
configuration = json.loads(variables["configuration"])
if configuration["mirrors"] is None:
    # Debian 13's has the newer form.
    places = [os.path.join(variables["examples"], name) for name in ("sources.list", "debian.sources")]
    with open(next(filter(os.path.exists, places)), encoding="utf-8") as file:
        words = [line.split() for line in file]
    # The security archive lies beside it, and is found from there.
    configuration["mirrors"] = [line[1] for line in words if line[:1] in (["deb"], ["URIs:"])][:1]
with open(variables["out"], "w", encoding="utf-8") as file:
    file.write(json.dumps(configuration, sort_keys=True) + "\n")
