#!/bin/bash
# umami.sh FOLDER - umami 2.10 (npm) and Debian's PostgreSQL as the target of a load test, ready on 127.0.0.1:3901. Needs npm, 1.2 GB in
# FOLDER, 5 minutes (measured on two busy cores), and root for PostgreSQL. A second run in the same FOLDER builds it anew. umami's own database engine is a binary that is fetched from outside npm; Prisma
# 6.19 has one in WebAssembly, and the shim below is what umami asks of it. Then:
#   griddle load run examples/analytics/umami.json
set -eu
D=${1:?usage: umami.sh FOLDER}
mkdir -p "$D"; cd "$D"
npm pack umami@2.10.0 && tar xzf umami-2.10.0.tgz --strip 1
node -e '
const fs = require("fs"), p = JSON.parse(fs.readFileSync("package.json"));
for (const d of [p.dependencies, p.devDependencies]) for (const n of ["@umami/prisma-client", "@prisma/extension-read-replicas", "husky", "prisma", "@prisma/client"]) delete d[n];
Object.assign(p.dependencies, { prisma: "6.19.0", "@prisma/client": "6.19.0", "@prisma/adapter-pg": "6.19.0" });
fs.writeFileSync("package.json", JSON.stringify(p, null, 2));'
npm install --legacy-peer-deps --ignore-scripts --no-audit --no-fund
cat >src/lib/umami-prisma-shim.ts <<'TS'
import { PrismaClient } from '@prisma/client';
import { PrismaPg } from '@prisma/adapter-pg';
const PRISMA = Symbol.for('prisma');
const client: any = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL, max: 10 }) });
const log = () => {};
const rawQuery = (q: string, params: any[] = []) => client.$queryRawUnsafe(q, ...params);
const transaction = (input: any, options?: any) => client.$transaction(input, options);
export default { client, log, PRISMA, rawQuery, transaction };
TS
sed -i "s#from '@umami/prisma-client'#from './umami-prisma-shim'#" src/lib/prisma.ts
mkdir -p prisma && cp -r db/postgresql/* prisma/
sed -i '/^generator client {/a\  engineType = "client"' prisma/schema.prisma
dpkg-query -W postgresql >/dev/null 2>&1 || apt-get install -y --no-install-recommends postgresql
pg_ctlcluster 15 main start 2>/dev/null || true
su postgres -c "psql -qc \"CREATE USER umami PASSWORD 'umami'\" -c 'CREATE DATABASE umami OWNER umami'" || true
export DATABASE_URL=postgresql://umami:umami@127.0.0.1:5432/umami NEXT_TELEMETRY_DISABLED=1 PRISMA_SCHEMA_ENGINE_BINARY=/bin/true
SITE=5a1e0000-0000-4000-8000-000000000001        # the website that umami.json counts for
for m in prisma/migrations/*/migration.sql; do psql -q "$DATABASE_URL" -f "$m"; done
psql -q "$DATABASE_URL" -c "INSERT INTO website (website_id, name, domain, user_id) SELECT '$SITE', 'shop', 'example.org', user_id FROM \"user\"
	WHERE username = 'admin' ON CONFLICT DO NOTHING"
npx prisma generate && npx rollup -c rollup.tracker.config.mjs && npx next build
rm -rf RUN; cp -r .next/standalone RUN; cp -r .next/static RUN/.next/; cp -r public RUN/
cp node_modules/.prisma/client/*.wasm RUN/node_modules/.prisma/client/
cd RUN && HOSTNAME=127.0.0.1 PORT=3901 APP_SECRET=x exec node server.js
