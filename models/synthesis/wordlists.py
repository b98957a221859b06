"""Words that passwords, names and sentences of synthetic texts are put together from."""

from __future__ import annotations

from typing import Final

__all__ = [
    "COMPANIES",
    "GUESSABLE",
    "LASTS",
    "NAMES",
    "NOUNS",
    "PARTS",
    "SERVICES",
    "TRANSLATED",
    "VERBS",
    "WORDS",
]

#: Words in several languages, as people choose them.
WORDS: Final = """\
dragon monkey summer winter welcome sunshine football princess master shadow coffee cookie banana orange
purple silver diamond tiger panda lucky freedom hunter ginger pepper rocket letmein trustno apple river
stone castle thunder sunset forest ocean mountain hockey soccer tennis guitar piano violin crystal phoenix
galaxy planet comet saturn jupiter falcon eagle raven wolf bear horse turtle rabbit hamster dolphin shark
whale spider scorpion cobra viper lion kitten puppy bailey charlie buddy maggie rusty oreo pickle waffle
pancake muffin donut cheese bacon pizza taco burger noodle sushi whiskey vodka tequila beer wine winery
cellar harvest meadow prairie canyon desert island beach harbor anchor captain pirate knight wizard czar
emperor baron duke angel devil ghost zombie ninja samurai viking spartan trojan gladiator ranger batman
superman spock vader yoda matrix neo trinity gandalf frodo hobbit pokemon pikachu mario zelda sonic tetris
chelsea arsenal liverpool lakers yankees cowboys steelers packers ferrari porsche mustang corvette harley
yamaha honda toyota london paris madrid tokyo oslo vienna prague lisbon athens cairo lima boston denver
dallas austin texas brooklyn monday friday sunday january march april august october november magic simple
secure strong hidden access entry open close enter guest super power user happy crazy funny sweet lovely
sommer passwort hallo schatz blume katze hund berlin fussball geheim sonne mond stern schnee vogel kaffee
apfel garten schule arbeit bahnhof schnitzel kartoffel regenbogen schmetterling zauber himmel wolke brot
soleil bonjour motdepasse fromage papillon chocolat jardin amour cheval doudou chouchou maison toulouse
marseille bisous azertyuiop loulou coucou bretagne croissant baguette etoile nuage poisson tortue canard
contrasena familia corazon estrella amigo playa verano gatito perro casa cielo luna mariposa tequiero bonita
princesa chocolate barcelona realmadrid mexico guadalupe teamo manzana naranja montana caballo senha brasil
saudade abacaxi cachorro flamengo corinthians gatinha amizade felicidade coracao praia amore calcio ciaociao
cucina bella mare acqua fuoco terra juventus napoli farfalla gelato nonna pallone privet solnyshko kotik
parol lyubov zvezda medved moskva rossiya spartak nastya malina vesna zaika haslo misiek kochanie wakacje
polska matrioszka kasia zosia kwiatek slonce heslo kocicka sluniecko praha pivo medvidek lozinka sifra srce
sunce jabuka zvijezda jelszo szerelem csillag budapest sakura nihao woaini himitsu arigato konnichiwa ohayo
kokoro neko inu kissa salasana kesa perkele sauna suomi losenord hemlig sommar stockholm midsommar fiskmas
wachtwoord welkom fiets kaas oranje ajax feyenoord tulp hond sifre galatasaray fenerbahce istanbul canim
askim kedi gunes matkhau hanoi saigon anhyeuem sandi rahasia jakarta merdeka bintang sayang mahal pilipinas
kamote ghana lagos simba jambo asante habibi yalla shukran
""".split()
NAMES: Final = """\
alice marco jenny thomas sarah mehmet anna pedro lucas olga ivan julia sven marie carlos nina peter david
emma felix hannah jorge kevin laura mike natasha oscar paula rachel stefan tina victor yuki aisha bogdan
chen dmitri elena farid giulia hiro ingrid jamal katarina lena mateo noor omar priya quentin ravi sofia
tariq ursula vikram wei xavier yusuf zoe andreas beatriz claude diego eszter fatima gustav helene
""".split()
LASTS: Final = """\
smith mueller rossi garcia kowalski novak jansen silva dubois ivanov tanaka kim nguyen patel cohen schmidt
weber fischer moreau lopez santos costa ferrari johansson nielsen virtanen horvat popescu yilmaz
""".split()
NOUNS: Final = """\
account order invoice user payment session report image queue cluster billing catalog search cart shipping
profile event audit export import backup gateway worker scheduler message client server customer product
inventory ledger ticket pipeline snapshot replica shard bucket index document template webhook tenant
license device sensor firmware upload thumbnail checkout refund coupon campaign newsletter survey forum wiki
portal dashboard metrics alert incident release artifact bundle manifest crawler parser renderer
""".split()
VERBS: Final = """\
get read load generate fetch create build resolve lookup parse make find decrypt derive validate refresh
reset rotate encode hash request renew check compute require
""".split()
COMPANIES: Final = """\
acme contoso globex initech umbra vandelay hooli northwind wayne tyrell fabrikam adventure soylent cyberdyne
stark wonka oscorp massive aperture blackmesa piedpiper dunder
""".split()
SERVICES: Final = """\
db postgres mysql redis mongo smtp mail ldap admin root ftp sftp rabbitmq kafka grafana jenkins gitlab nexus
sonar vault slack stripe aws s3 azure gcp github docker registry wifi vpn keystore jdbc api app service
oauth client webhook twilio sendgrid datadog elastic kibana openai cloudflare database mariadb oracle mssql
cassandra influx minio consul etcd zookeeper artifactory bitbucket jira confluence sentry newrelic pagerduty
mailgun mailchimp paypal braintree shopify facebook google twitter linkedin instagram okta auth0 keycloak
proxy http samba snmp ssh rds heroku netlify vercel firebase algolia mapbox tomcat wildfly weblogic
websphere
""".split()
#: Last parts of names of fields that hold credentials.
PARTS: Final = """\
password password password passwd secret secret token token pass pwd api_key apikey key access_key
secret_key auth_token access_token refresh_token credentials private_key passphrase client_secret
encryption_key signing_key pw auth_key master_key shared_secret app_secret cookie_secret session_secret
jwt_secret bot_token hmac_key aes_key hexkey license_key storepass keypass userpass login_password
root_password admin_password consumer_secret webhook_secret secret_token bearer_token personal_access_token
psk
""".split()
#: What a guesser tries first.
GUESSABLE: Final = """\
password admin root secret pass welcome test guest user login changeme default master letmein postgres mysql
oracle toor demo temp qwerty passw0rd P@ssw0rd p@ssword admin123 sa system manager tomcat s3cret hunter2
iloveyou abc123 superuser operator raspberry vagrant ubuntu ansible
""".split()
#: Words for what people are asked for: language, password, key, token, and a sentence of a form.
TRANSLATED: Final[dict[str, tuple[str, ...]]] = {
    "de": ("Passwort", "Schlüssel", "Geheimnis", "Passwort vergessen?", "Neues Passwort", "Zugangsdaten"),
    "fr": ("Mot de passe", "Clé", "Jeton", "Mot de passe oublié ?", "Nouveau mot de passe", "Identifiants"),
    "es": ("Contraseña", "Clave", "Ficha", "¿Olvidó su contraseña?", "Nueva contraseña", "Credenciales"),
    "it": ("Parola d'ordine", "Chiave", "Gettone", "Password dimenticata?", "Nuova password", "Segreto"),
    "pt": ("Senha", "Chave", "Segredo", "Esqueceu a senha?", "Nova senha", "Credenciais"),
    "nl": ("Wachtwoord", "Sleutel", "Geheim", "Wachtwoord vergeten?", "Nieuw wachtwoord", "Inloggegevens"),
    "hr": ("Lozinka", "Ključ", "Tajna", "Zaboravljena lozinka?", "Nova lozinka", "lozinka"),
    "cs": ("Heslo", "Klíč", "Tajemství", "Zapomenuté heslo?", "Nové heslo", "heslo"),
    "sk": ("Heslo", "Kľúč", "Tajomstvo", "Zabudnuté heslo?", "Nové heslo", "heslo"),
    "sl": ("Geslo", "Ključ", "Skrivnost", "Ste pozabili geslo?", "Novo geslo", "geslo"),
    "pl": ("Hasło", "Klucz", "Sekret", "Nie pamiętasz hasła?", "Nowe hasło", "hasło"),
    "ru": ("Пароль", "Ключ", "Токен", "Забыли пароль?", "Новый пароль", "пароль"),
    "uk": ("Пароль", "Ключ", "Токен", "Забули пароль?", "Новий пароль", "пароль"),
    "hu": ("Jelszó", "Kulcs", "Titok", "Elfelejtett jelszó?", "Új jelszó", "jelszo"),
    "ro": ("Parola", "Cheie", "Secret", "Ați uitat parola?", "Parola nouă", "parola"),
    "tr": ("Şifre", "Anahtar", "Parola", "Şifremi unuttum", "Yeni şifre", "sifre"),
    "fi": ("Salasana", "Avain", "Tunniste", "Unohditko salasanan?", "Uusi salasana", "salasana"),
    "sv": ("Lösenord", "Nyckel", "Hemlighet", "Glömt lösenordet?", "Nytt lösenord", "losenord"),
    "da": ("Adgangskode", "Nøgle", "Hemmelighed", "Glemt adgangskode?", "Ny adgangskode", "adgangskode"),
    "nb": ("Passord", "Nøkkel", "Hemmelighet", "Glemt passord?", "Nytt passord", "passord"),
    "lt": ("Slaptažodis", "Raktas", "Paslaptis", "Pamiršote slaptažodį?", "Naujas slaptažodis", "raktas"),
    "lv": ("Parole", "Atslēga", "Noslēpums", "Aizmirsāt paroli?", "Jauna parole", "parole"),
    "et": ("Parool", "Võti", "Saladus", "Unustasid parooli?", "Uus parool", "parool"),
    "ja": ("パスワード", "キー", "トークン", "パスワードをお忘れですか", "新しいパスワード", "秘密"),
    "zh": ("密码", "密钥", "令牌", "忘记密码", "新密码", "口令"),
    "ko": ("비밀번호", "키", "토큰", "비밀번호를 잊으셨나요?", "새 비밀번호", "암호"),
    "id": ("Kata sandi", "Kunci", "Rahasia", "Lupa kata sandi?", "Kata sandi baru", "sandi"),
    "vi": ("Mật khẩu", "Khóa", "Mã bí mật", "Quên mật khẩu?", "Mật khẩu mới", "matkhau"),
    "el": ("Κωδικός", "Κλειδί", "Μυστικό", "Ξεχάσατε τον κωδικό;", "Νέος κωδικός", "kodikos"),
    "en": ("Password", "Key", "Token", "Forgot password?", "New password", "Passphrase"),
}
