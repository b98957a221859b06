"""Words that passwords, names and sentences of synthetic texts are put together from."""

from __future__ import annotations

from typing import Final

__all__ = ["COMPANIES", "NAMES", "NOUNS", "PARTS", "SERVICES", "WORDS"]

#: Words in several languages, as people choose them.
WORDS: Final = (
    "dragon monkey summer winter welcome sunshine football princess master shadow coffee cookie banana "
    "orange purple silver diamond tiger panda lucky freedom hunter ginger pepper rocket letmein trustno "
    "sommer passwort hallo schatz blume katze berlin fussball geheim sonne schnee vogel kaffee apfel "
    "soleil bonjour motdepasse fromage papillon chocolat jardin amour cheval contrasena familia corazon "
    "estrella amigo playa verano gatito senha brasil saudade abacaxi cachorro amore calcio ciaociao "
    "cucina privet solnyshko kotik parol lyubov haslo misiek kochanie wakacje heslo kocicka sakura "
    "nihao woaini himitsu arigato kissa salasana kesa losenord hemlig sommar wachtwoord welkom fiets"
).split()
NAMES: Final = (
    "alice marco jenny thomas sarah mehmet anna pedro lucas olga ivan julia sven marie carlos nina peter "
    "david emma felix hannah jorge kevin laura mike natasha oscar paula rachel stefan tina victor yuki"
).split()
NOUNS: Final = (
    "account order invoice user payment session report image queue cluster billing catalog search cart "
    "shipping profile event audit export import backup gateway worker scheduler message client server"
).split()
COMPANIES: Final = "acme contoso globex initech umbra vandelay hooli northwind wayne tyrell".split()
SERVICES: Final = (
    "db postgres mysql redis mongo smtp mail ldap admin root ftp sftp rabbitmq kafka grafana jenkins "
    "gitlab nexus sonar vault slack stripe aws s3 azure gcp github docker registry wifi vpn keystore jdbc "
    "api app service oauth client webhook twilio sendgrid datadog elastic kibana openai cloudflare"
).split()
#: Last parts of names of fields that hold credentials.
PARTS: Final = (
    "password passwd pass pwd secret token api_key apikey key access_key secret_key auth_token "
    "access_token credentials private_key passphrase client_secret encryption_key signing_key pw"
).split()
