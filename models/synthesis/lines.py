"""Lines that assign a value to a field, in the syntax of many files, and the lines that stand around them.

``{k}`` is the field, ``{v}`` the place of the value, ``{n}`` a noun, ``{d}`` a number.
"""

from __future__ import annotations

from typing import Final

__all__ = ["AROUND", "SYNTAX", "TALK"]

#: Syntax → (path with ``{n}``, forms for literals, forms for expressions).
SYNTAX: Final[dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "python": (
        "src/{n}.py",
        (
            '{k} = "{v}"',
            "    {k}='{v}',",
            '    "{k}": "{v}",',
            'connect({k}="{v}")',
            'os.environ["{k}"] = "{v}"',
            '    assert {n}.{k} == "{v}"',
        ),
        ("{k} = {v}", "    {k}={v},", "    return {n}({k}={v})"),
    ),
    "javascript": (
        "src/{n}.js",
        ("const {k} = '{v}';", "  {k}: '{v}',", 'let {k} = "{v}"', "  this.{k} = `{v}`;"),
        ("const {k} = {v};", "  {k}: {v},", "if ({k} === {v}) {{"),
    ),
    "typescript": (
        "src/{n}.ts",
        ("const {k}: string = '{v}';", "  {k}: '{v}',", "private {k} = '{v}';"),
        ("const {k} = {v};", "  {k}: {v},"),
    ),
    "java": (
        "src/main/java/{n}.java",
        (
            'private static final String {k} = "{v}";',
            '{n}.set("{k}", "{v}");',
            'String {k} = "{v}";',
            '@Value("{v}") String {k};',
        ),
        ("String {k} = {v};", "this.{k} = {v};"),
    ),
    "go": (
        "pkg/{n}.go",
        ('{k} := "{v}"', '\t{k}: "{v}",', 'const {k} = "{v}"'),
        ("{k} := {v}", "\t{k}: {v},"),
    ),
    "ruby": (
        "lib/{n}.rb",
        ("{k} = '{v}'", "  {k}: '{v}',", "  :{k} => '{v}',"),
        ("{k} = {v}", "  {k}: {v},"),
    ),
    "php": (
        "src/{n}.php",
        ("${k} = '{v}';", "    '{k}' => '{v}',", "define('{k}', '{v}');"),
        ("${k} = ${v};", "    '{k}' => ${v},"),
    ),
    "csharp": ("src/{n}.cs", ('var {k} = "{v}";', 'public const string {k} = "{v}";'), ("var {k} = {v};",)),
    "kotlin": ("src/{n}.kt", ('val {k} = "{v}"', '    {k} = "{v}",'), ("val {k} = {v}", "    {k} = {v},")),
    "scala": ("src/{n}.scala", ('val {k} = "{v}"', '  "{k}" -> "{v}",'), ("val {k} = {v}",)),
    "rust": (
        "src/{n}.rs",
        ('let {k} = "{v}";', 'const {k}: &str = "{v}";'),
        ("let {k} = {v};", "    {k}: {v},"),
    ),
    "c": ("src/{n}.c", ('const char *{k} = "{v}";', '#define {k} "{v}"'), ("{k} = {v};", "return {v};")),
    "swift": ("src/{n}.swift", ('let {k} = "{v}"',), ("let {k} = {v}",)),
    "perl": ("lib/{n}.pm", ("my ${k} = '{v}';", "    {k} => '{v}',"), ("my ${k} = {v};",)),
    "groovy": ("src/{n}.groovy", ("def {k} = '{v}'", '    {k} "{v}"'), ("def {k} = {v}",)),
    "lua": ("{n}.lua", ('local {k} = "{v}"',), ("local {k} = {v}",)),
    "powershell": ("{n}.ps1", ('${k} = "{v}"', 'Connect-{n} -{k} "{v}"'), ("${k} = {v}",)),
    "env": (".env.{n}", ("{k}={v}", 'export {k}="{v}"', "{k}='{v}'"), ("{k}={v}",)),
    "yaml": (
        "config/{n}.yml",
        ("  {k}: {v}", '  {k}: "{v}"', "    - name: {k}\n      value: {v}"),
        ("  {k}: {v}",),
    ),
    "compose": ("docker-compose.{n}.yml", ("      {k}: {v}", "      - {k}={v}"), ("      - {k}={v}",)),
    "ansible": ("group_vars/{n}.yml", ("{k}: {v}", "    {k}: '{v}'"), ("{k}: {v}",)),
    "kubernetes": (
        "deploy/{n}-values.yaml",
        ("    {k}: {v}", '            - name: {k}\n              value: "{v}"'),
        ("            secretName: {v}", "    {k}: {v}"),
    ),
    "toml": ("{n}.toml", ('{k} = "{v}"',), ('{k} = "{v}"',)),
    "ini": ("etc/{n}.ini", ("{k} = {v}", "{k}={v}"), ("{k} = {v}",)),
    "properties": ("{n}.properties", ("{n}.{k}={v}", "{k} = {v}"), ("{n}.{k}={v}",)),
    "json": ("config/{n}.json", ('  "{k}": "{v}",',), ('  "{k}": "{v}",',)),
    "xml": (
        "config/{n}.xml",
        ("  <{k}>{v}</{k}>", '  <property name="{k}" value="{v}"/>'),
        ("  <{k}>{v}</{k}>",),
    ),
    "terraform": ("{n}.tf", ('  {k} = "{v}"',), ("  {k} = {v}", "  {k} = var.{n}")),
    "dockerfile": ("{n}/Dockerfile", ("ENV {k}={v}", "ARG {k}={v}", "ENV {k} {v}"), ("ENV {k}={v}",)),
    "history": (
        ".bash_history",
        (
            "export {k}={v}",
            "curl -u {n}:{v} https://{n}.acme.test/api/{d}",
            "mysql -h {n} -u root -p{v}",
            "curl -H 'Authorization: Bearer {v}' https://{n}.acme.test/",
            "psql postgres://{n}:{v}@{n}.acme.test:5432/{n}",
            "docker login -u {n} -p {v} {n}.acme.test",
            "sshpass -p '{v}' ssh {n}@10.0.0.{d}",
        ),
        ("export {k}={v}", "echo {v}"),
    ),
    "shell": ("bin/{n}.sh", ('{k}="{v}"', "export {k}='{v}'", "{n} --password {v} --user {n}"), ("{k}={v}",)),
    "sql": (
        "db/{n}.sql",
        (
            "CREATE USER '{n}'@'%' IDENTIFIED BY '{v}';",
            "ALTER USER {n} WITH PASSWORD '{v}';",
            "INSERT INTO settings (name, value) VALUES ('{k}', '{v}');",
        ),
        ("SELECT {k} FROM {n} WHERE id = {d};",),
    ),
    "notebook": ("{n}.ipynb", ("    \"{k} = '{v}'\\n\",",), ('    "{k} = {v}\\n",',)),
}

#: What stands around a line: by the first letter of kinds of files.
AROUND: Final[dict[str, tuple[str, ...]]] = {
    "code": (
        "",
        "",
        "// {n} of the {m}",
        "{n}.{m}({d});",
        "return {n};",
        "}}",
        "if ({n} == null) {{",
        "{n} = {m} + {d};",
        'log.info("{n} {m} {d}");',
        "for (i = 0; i < {d}; i++) {{",
        "import {n}.{m};",
        "timeout = {d};",
    ),
    "python": (
        "",
        "",
        "# {n} of the {m}",
        "def {n}_{m}(self, {n}):",
        "    return self.{n}",
        "import {n}",
        "{n} = {d}",
        "    for {n} in {m}s:",
        "    log.info('{n} %s', {m})",
        "class {N}({M}):",
        "timeout = {d}",
    ),
    "config": (
        "",
        "",
        "# {n} of the {m}",
        "{n}_host={n}.acme.test",
        "{n}_port={d}",
        "{m}_timeout={d}",
        "{n}_enabled=true",
    ),
    "yaml": (
        "",
        "# {n} of the {m}",
        "  {n}:",
        "    host: {n}.acme.test",
        "    port: {d}",
        "  {m}: true",
        "    replicas: {d}",
    ),
    "json": ('  "{n}": {d},', '  "{m}": "{n}",', '  "{n}_host": "{m}.acme.test",', '  "enabled": true,'),
    "xml": ("  <{n}>{d}</{n}>", "  <!-- {n} of the {m} -->", "", "  <{m}/>"),
    "history": (
        "ls -la",
        "cd {n}",
        "git pull",
        "kubectl get pods -n {n}",
        "vim {n}.yml",
        "docker ps",
        "make {m}",
        "git commit -m '{n}'",
    ),
    "sql": ("", "-- {n} of the {m}", "SELECT * FROM {n};", "GRANT ALL ON {n}.* TO '{m}'@'%';", "COMMIT;"),
    "log": (
        "[INFO] building {n}",
        "#{d} DONE {d}.4s",
        "Downloading {n}-{m} ({d} kB)",
        "npm WARN deprecated {n}@{d}.0.1",
        "\tat com.acme.{n}.{N}.run({N}.java:{d})",
        '  File "/app/{n}.py", line {d}, in {m}',
        "PASS {n}/{m}.test.js",
        "[ERROR] {n}: connection to {m} refused",
        "Step {d}/20 : COPY {n} /app",
        "collected {d} items",
        "+ make {n}",
    ),
    "talk": (
        "ok will look at the {n} later",
        "anyone knows why the {m} is slow?",
        "the {n} deploy failed again",
        "thanks!",
        "lgtm",
        "can you check the {n} on staging",
        "{n} ticket is with the {m} team",
        "restarted {n}",
        "please rotate the token of {n} and tell {m}",
        "I forgot my password for the {n} again",
        "the secret of {n} is in the vault, ask {m}",
        "password reset for {n} works now",
    ),
}

#: Sentences in which people pass values on, or name what only looks like one.
TALK: Final = (
    "the {k} for {n} is {v}", "{k}: {v}", "here you go, {k} = {v}", "use {n} / {v} to log in",
    "set {k} to `{v}` and restart", "login: {n} password: {v}", "I get 401 with {k}={v}", "try {v} as {k}",
    "export {k}={v} fixes it", "das passwort fuer {n} ist {v}", "le mot de passe de {n}: {v}",
    "la clave de {n} es {v}", "{n} user admin pw {v}", "curl -H 'Authorization: Bearer {v}' {n}.acme.test/",
    "it is postgres://{n}:{v}@{n}.acme.test/{m}", "{k} changed to {v} since {d}", "pwd is {v}", "| {k} | {v}",
    "in the code it says {k} = {v}", "error: invalid {k} {v}",
)  # fmt: skip
