#!/bin/sh
# sbom.sh NAME VERSION - an SPDX 2.3 document, as JSON, of griddle and of every Debian package of this root
# No date but SOURCE_DATE_EPOCH's, and the packages in the order of their names: the same root gives the same bytes.
set -eu
. /etc/os-release
cat <<J
{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "$1-$2",
 "documentNamespace": "https://griddle.example/spdx/$1-$2",
 "creationInfo": {"created": "$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%dT%H:%M:%SZ)", "creators": ["Tool: scripts/sbom.sh"]},
 "packages": [
  {"SPDXID": "SPDXRef-griddle", "name": "griddle", "versionInfo": "$2", "licenseDeclared": "Apache-2.0", "downloadLocation": "NOASSERTION", "filesAnalyzed": false}
J
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | LC_ALL=C sort | while read -r name version arch; do
	printf '  ,{"SPDXID": "SPDXRef-%s-%s", "name": "%s", "versionInfo": "%s", "downloadLocation": "NOASSERTION", "filesAnalyzed": false,\n   "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:deb/%s/%s@%s?arch=%s"}]}\n' \
		"$(echo "$name" | tr -c 'A-Za-z0-9.\n' -)" "$arch" "$name" "$version" "$ID" "$name" "$(echo "$version" | sed 's/+/%2B/g; s/:/%3A/g; s/~/%7E/g')" "$arch"
done
echo ' ],'
echo ' "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-griddle"}]}'
