#!/bin/sh
# Starts Postgres; makes the cluster first when the volume is empty: one database and one owner for each service.
# The superuser has no password, so that it can sign in through the socket inside this container only.
set -eu

data=/data/postgres

if [ ! -d "$data" ]; then
  rm -rf "$data.part"
  initdb --pgdata="$data.part" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  echo 'host all all all scram-sha-256' >>"$data.part/pg_hba.conf"
  for service in auth frogs; do
    echo "CREATE ROLE $service LOGIN PASSWORD '$(cat "/run/secrets/postgres/$service")';"
    echo "CREATE DATABASE $service OWNER $service;"
    echo "REVOKE ALL ON DATABASE $service FROM PUBLIC;"
  done | postgres --single -D "$data.part" postgres >/dev/null
  # Last, so that a pod killed half way begins again.
  mv "$data.part" "$data"
fi

exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off -c shared_buffers=64MB
