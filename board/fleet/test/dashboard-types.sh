#!/usr/bin/env bash
# Checks the dashboard against Grafana's own types of dashboards, panels and options (npm's @grafana/schema, Apache-2.0). Grafana itself
# is not opened by this. Needs npm.
set -euo pipefail
dashboard=$(cd "$(dirname "$0")/.." && pwd)/grafana/sinew.json
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
npm install --silent --no-audit --no-fund @grafana/schema@13.2.3 typescript@5.9.3 >/dev/null
types=node_modules/@grafana/schema/dist/types
# A string of JSON is no member of an enumeration to the compiler: each becomes the union of its values.
python3 - "$types/raw" "$types/common" <<'UNIONS'
import pathlib, re, sys
declared = re.compile(r"export declare enum (\w+) \{(.*?)\n\}", re.S)
for file in (path for folder in sys.argv[1:] for path in pathlib.Path(folder).rglob("*.d.ts")):
    values = lambda match: re.findall(r'= ("[^"]*"|-?\d+)', match[2])
    text = file.read_text()
    file.write_text(declared.sub(lambda match: f"export type {match[1]} = {' | '.join(values(match)) or 'never'};", text))
UNIONS
{
    echo "import type { Dashboard, Panel, RowPanel } from './$types/raw/dashboard/x/types.gen';"
    for kind in stat table timeseries; do
        echo "import type * as $kind from './$types/raw/composable/$kind/panelcfg/x/types.gen';"
    done
    cat <<'CHECK'
type Of<Kind extends string, Options, Custom> = Omit<Panel, "type" | "options" | "fieldConfig"> & {
    type: Kind; options: Options;
    fieldConfig: { defaults: Omit<NonNullable<Panel["fieldConfig"]>["defaults"], "custom"> & { custom?: Custom }; overrides: [] };
};
type Known = RowPanel | Of<"stat", Partial<stat.Options>, never> | Of<"table", Partial<table.Options>, never>
    | Of<"timeseries", Partial<timeseries.Options>, timeseries.FieldConfig>;
CHECK
    printf 'export const dashboard: Omit<Dashboard, "panels"> & { panels: Known[] } =\n'
    cat "$dashboard"
} >check.ts
npx tsc --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext check.ts
# It must see a mistake, or it sees nothing.
sed 's/"sort": "desc"/"sort": "down"/' check.ts >wrong.ts
if npx tsc --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext wrong.ts >/dev/null; then
    echo "the check accepts a mistake" >&2
    exit 1
fi
echo "ok      the dashboard has the types of @grafana/schema 13.2.3"
