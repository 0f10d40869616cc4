#!/bin/sh
# Starts Postgres. If the volume is empty, first initializes it with a database and an owner for
# each service. The superuser has no password and can therefore connect only through the socket
# inside this container.
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
  # Last: if the pod is killed before, the next one starts over.
  mv "$data.part" "$data"
fi

exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off -c shared_buffers=64MB
