"""Writes template_cases.inc: what Jinja makes of small templates, set up as programs that run chat templates do it.

    python3 make_template_cases.py > template_cases.inc      (wants the package jinja2)
"""
import datetime

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1700000000  # the test's clock
MESSAGES = [{"role": "system", "content": "S s"}, {"role": "user", "content": " U1\n"},
            {"role": "assistant", "content": "<think>\nT\n</think>\n\nA\u00e9"}, {"role": "user", "content": "U2"}]

TEMPLATES = r"""
plain text
{{ bos_token }}|{{ eos_token }}|{{ not_defined }}|{{ none }}|{{ true }}|{{ False }}|{{ 12 }}
a {{- ' b ' -}} c {{ 'd' }} e
{% if true %}x{% endif %}   y
{% for m in messages %}{{ loop.index0 }}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }} {{ m.role }}:{{ m['content'] }};{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{% else %}none{% endfor %}
{% for m in messages if m.role == 'tool' %}x{% else %}none{% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}{{ loop.nextitem.role if loop.nextitem is defined }} {% endfor %}
{% for m in messages[::-1] %}{{ m.role[0:1] }}{% endfor %}{% for m in messages[1:3] %}{{ m.role }}{% endfor %}{% for m in messages[-1:] %}{{ m.content }}{% endfor %}{% for m in messages[:-3] %}{{ m.role }}{% endfor %}{% for m in messages[3:0:-2] %}{{ m.role }}{% endfor %}
{{ messages[0].role }} {{ messages[-1]['content'] }} {{ messages[9] is defined }} {{ messages | length }} {{ messages|count }}
{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.s = ns.s ~ m.role[0] if false else ns.s + '.' %}{% endfor %}{{ ns.n }}{{ ns.s }}
{% if messages[0].role == 'user' %}a{% elif messages[0]['role'] == 'system' %}b{% else %}c{% endif %}
{{ 1 + 2 * 3 - 4 // 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ (1 + 2) * 3 }} {{ -1 + 2 }} {{ +3 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ 'a' >= 'ab' }} {{ 1 == true }} {{ 1 != 1 }} {{ 'a' == 1 }}
{{ 'a' ~ 1 ~ none ~ true }} {{ 'a' + 'b' 'c' }}
{{ 'x' in 'axb' }} {{ 'x' not in 'axb' }} {{ '' in 'a' }} {{ 1 in [1, 2] }} {{ 'role' in messages[0] }} {{ 'name' in messages[0] }} {{ 'a' in not_defined }}
{{ not true }} {{ not '' }} {{ true and 'a' }} {{ '' or 'b' }} {{ 0 or none }} {{ 'a' and '' and 'c' }} {{ not 1 == 2 }} {{ not not 3 }}
{{ 'a' if true else 'b' }} {{ 'a' if false }} {{ 'a' if false else 'b' if true else 'c' }}
{{ ' a b '|trim }}|{{ ' a '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ '\n\n a\n'.lstrip('\n') }}|{{ 'abcba'.rstrip('ab') }}|{{ ' ' | trim | length }}
{{ 'a,b,c'.split(',')[1] }} {{ 'a,b,c'.split(',')[-1] }} {{ 'a,b,c'.split(',', 1)[1] }} {{ 'abc'.split('x') | length }} {{ ',a,'.split(',') | join('-') }}
{{ messages[2].content.split('</think>')[-1].lstrip('\n') }} {{ messages[2].content.split('</think>')[0].split('<think>')[-1].strip('\n') }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('ab') }} {{ 'abc'.startswith('') }} {{ 'a'.startswith('ab') }}
{{ 'Ab c'|upper }} {{ 'Ab'.lower() }} {{ 'ab cD'|capitalize }} {{ 'ab cD'.title() }} {{ 'aXbX'.replace('X', 'yy') }} {{ 'aXb'|replace('X', '') }}
{{ not_defined|default('d') }} {{ ''|default('e') }}| {{ ''|default('e', true) }} {{ none|default('f') }} {{ not_defined|d }}
{{ [1, 'b', none]|join(',') }} {{ [3, 4]|first }} {{ [3, 4]|last }} {{ ([1] + [2, 3])|length }} {{ (1, 2)|join('+') }} {{ []|length }} {{ [[1, 2], [3, 4]][1][0] }}
{{ 'a' is string }} {{ 1 is string }} {{ none is none }} {{ x is not none }} {{ x is undefined }} {{ x is defined }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ messages is iterable }} {{ messages[0] is mapping }} {{ 'a' is mapping }} {{ 'a' is sequence }} {{ 3 is odd }} {{ 3 is even }} {{ 1 is number }} {{ true is boolean }} {{ 1 is integer }} {{ true is integer }}
{{ 1 is equalto 1 }} {{ 'a' is eq('b') }} {{ 'a' is ne 'b' }} {{ 'a' is in ['a'] }} {{ 'a' is not in 'b' }}
{{ tools is none }} {{ tools is defined }} {{ not tools }} {{ documents is none }} {{ add_generation_prompt }} {{ enable_thinking is defined and enable_thinking is false }}
{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(1, 3) %}{{ i }}{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}{% for i in range(0) %}x{% endfor %}
{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for a, b in [[1, 2], [3, 4]] %}{{ a }}-{{ b }} {% endfor %}
{% macro f(a, b='B', c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, c=2) }}{{ f(b=3, a=4) }}{{ f('x') | length }}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% set a %}x{{ 1 }}{% endset %}{{ a }}{{ a|length }}
{# a comment #}b{#- c -#} d
{% generation %}x{% endgeneration %}y
{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|') }} {{ messages | rejectattr('role', 'equalto', 'user') | list | length }} {{ messages | selectattr('name') | list | length }}
{{ messages[0].get('role') }} {{ messages[0].get('name') }} {{ messages[0].get('name', 'n') }}
{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %B %Y') }}
{{ 'é中' | length }} {{ '\u00e9\x41\t\\\'' }} {{ "it's \"q\"" }} {{ 'a\qb' }}
{{ messages == messages }} {{ messages[0] == messages[1] }} {{ [1, [2]] == [1, [2]] }} {{ messages[0] == {} if false }}
{% if x is defined and x.y.z %}a{% else %}b{% endif %}{{ x.y if x is defined }}
{{ {'a': 1}['a'] if false else 'lazy' }}{{ 1.5 if false }}{{ (messages|tojson) if false }}{{ messages.foo() if false }}
""".strip("\n").split("\n") + [
    "  {% if true %}\n  a\n  {% endif %}\n  b\n",
    "{% for m in messages %}\n{{ m.role }}\n{% endfor %}\nend\n\n",
    "x\n\t{%- if true -%}\n\n y \n{%- endif %}\n z",
    "x {%+ if true +%}\n y{% endif %}\nz",
    "a\r\nb{% if true %}\r\nc{% endif %}\rd",
    "  {# c #}\n  {{ 1 }}\n  {#- d #}\n e",
    "{% if true %} {% endif %}  {% if true %}a{% endif %}",
    "{{ 'line\nbreak' }}{% set a = 'x\n' %}{{ a }}|",
    "{{ [1,\n  2]\n | join }}",
    "{{\n'a'\n}}{%\nif true\n%}b{%\nendif\n%}",
    "{%- set a = 1 -%}\n{%- if a -%}\n  {{- a -}}\n{%- endif -%}\n",
    "a{{ '}}' }}b{{ '%}' }}c{% if '%}' %}d{% endif %}",
]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def quoted(text):
    out = "".join(ch if " " <= ch <= "~" and ch not in '"\\?' else "".join(f"\\{b:03o}" for b in ch.encode())
                  for ch in text)
    lines = []
    while len(out) > 100:
        cut = 100
        while "\\" in out[cut - 4:cut]:
            cut -= 1
        lines.append(out[:cut])
        out = out[cut:]
    return "\n  ".join('"' + line + '"' for line in lines + [out])


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                    extensions=[Generation, jinja2.ext.loopcontrols])
env.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)
print("/* Made by make_template_cases.py: template, what Jinja makes of it. */")
for template in TEMPLATES:
    wanted = env.from_string(template).render(messages=MESSAGES, tools=None, documents=None, bos_token="<s>",
                                              eos_token="</s>", add_generation_prompt=True)
    print("{ %s,\n  %s }," % (quoted(template), quoted(wanted)))
