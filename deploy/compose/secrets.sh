#!/bin/sh
# Makes up the passwords that compose.yaml reads, once: what is there is kept.
# Each is readable in its container, whose user is not yours; the folder keeps everybody else on this machine out.
set -eu
cd "$(dirname "$0")"
mkdir -p -m 0755 models
mkdir -p -m 0700 secrets
cd secrets
umask 0222

keep() { # NAME: puts what it reads into the file, unless there is one
    if [ ! -e "$1" ]; then cat >"$1.new" && mv "$1.new" "$1"; fi
}

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in postgres_password owner_password application_password; do
    password | keep "$name"
done
printf 'postgresql://moorage_app:%s@postgres:5432/moorage' "$(cat application_password)" |
    keep moorage_registry_database_url
printf 'postgresql://moorage_owner:%s@postgres:5432/moorage' "$(cat owner_password)" |
    keep moorage_registry_migration_database_url
# Put your token for the Hugging Face hub in here, if you have one.
printf '' | keep moorage_downloader_hf_token
