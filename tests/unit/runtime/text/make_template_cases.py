"""Writes template_cases.inc, what Jinja makes of small templates, set up as programs that run chat templates do it, and
template_conversation.inc, the conversation that they are run on.

    python3 make_template_cases.py      (wants the package jinja2)
"""
import copy
import datetime
import json
import sys

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1700000000  # the test's clock
MESSAGES = [{"role": "system", "content": "S s"}, {"role": "user", "content": " U1\n"},
            {"role": "assistant", "content": "<think>\nT\n</think>\n\nA\u00e9"}, {"role": "user", "content": "U2"}]
VARIABLES = {
    "d": {"b": 1, "a": [1, 2.5, None, True, False], "C": {"x": "y"}, "items": "I", "\u00e9": "\u4e2d<&'\""},
    "words": ["bb", "a", "Cc", "a", "B"], "numbers": [3, -1, 2.5, 0, 1e20, 1e-7, 100000], "text": "a\tb \n  c\u3000d\u00e9 ",
    "people": [{"name": "x", "age": 3, "tags": ["t"]}, {"name": "Y", "age": 1}, {"name": "z", "age": 2, "tags": []}],
    "empty": {}, "zero": 0, "off": False, "null": None, "one": 1.0,
    "schema": {"type": "object", "properties": {"q": {"type": ["string", "null"], "description": "a \"b\"\n"},
                                                "n": {"type": "integer", "enum": [1, 2]}}, "required": ["q"]},
}

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
{{ d }} {{ numbers }} {{ words }} {{ text }} {{ (1, 'a') }} {{ (1,) }} {{ {} }} {{ {'a': (1, [2]), 3: none} }} {{ [undefined_name] }}
{{ d | tojson }} {{ d | tojson(indent=2) }} {{ words | tojson(separators=(',', ':')) }} {{ d | tojson(sort_keys=true, ensure_ascii=true) }} {{ text | tojson }} {{ empty | tojson(indent=4) }}{{ [] | tojson(2) }} {{ schema | tojson }} {{ numbers | tojson }} {{ one | tojson }} {{ {1: 2, none: 3, true: 4, 2.5: 5} | tojson }}
{{ 1 if d['items'] == 'I' }} {{ d['b'] }} {{ d.C.x }} {{ d.nothing is defined }} {{ d['a'][1] }} {{ d.get('C').x }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }},{% endfor %} {{ d.keys() | list }} {{ d.values() | list | length }} {% for k, v in d | items %}{{ k }}{% endfor %} {{ d | length }} {{ 'b' in d }} {{ 1 in d }}
{% for k, v in d | dictsort %}{{ k }}{% endfor %} {% for k, v in {'b': 1, 'A': 3, 'c': 2} | dictsort(by='value', reverse=true) %}{{ k }}{{ v }}{% endfor %} {{ {'b': 1, 'A': 3} | dictsort(true) }}
{{ words | sort }} {{ words | sort(case_sensitive=true, reverse=true) }} {{ people | sort(attribute='age') | map(attribute='name') | list }} {{ words | unique | list }} {{ words | unique(true) | join }} {{ numbers | sort }} {{ numbers | max }} {{ numbers | min }} {{ words | min }}
{{ people | map(attribute='tags', default='-') | list }} {{ words | map('upper') | join(' ') }} {{ words | map('replace', 'a', 'x') | list }} {{ [1, 0, 2] | select | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2, 3] | reject('gt', 1) | list }} {{ people | selectattr('tags', 'defined') | map(attribute='name') | join(',') }} {{ people | selectattr('age', '>', 1) | list | length }} {{ people | sum(attribute='age') }} {{ people | join(', ', attribute='name') }}
{% if people | selectattr('nothing') %}always{% endif %} {{ people | selectattr('nothing') | list }} {% set g = words | map('upper') %}{{ g | join }}|{{ g | join }}
{{ 1.5 }} {{ 1e3 }} {{ 3 / 2 }} {{ 4 / 2 }} {{ 7.0 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 1 + true }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 0.1 + 0.2 }} {{ 1_000 }} {{ -2 ** 2 }} {{ 1 == 1.0 }} {{ 1.0 < 2 }} {{ 10 | float }} {{ '12' | int }} {{ '1.9' | int }} {{ 'x' | int(7) }} {{ 3.7 | int }} {{ '2.5' | float }} {{ -3 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(0, 'ceil') }}
{{ 'ab' * 3 }} {{ [1] * 2 }} {{ 3 * 'x' }} {{ (1, 2) + (3,) }} {{ [3, 1] < [3, 2] }}
{{ 'a b  c'.split() }} {{ ' a b c '.split(None, 1) }} {{ 'a-b-c'.rsplit('-', 1) }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'k=v=w'.partition('=') }} {{ 'k=v=w'.rpartition('=') }} {{ 'k'.partition('=') }} {{ '  '.split() }} {{ text.split() }}
{{ 'abcabc'.replace('b', 'x', 1) }} {{ 'abc'.replace('', '-') }} {{ 'abc' | replace('b', 'yy') }} {{ 'abc'.find('c') }} {{ 'abc'.find('x') }} {{ 'abcb'.rfind('b') }} {{ 'aXa'.count('a') }} {{ 'é中x'.index('x') }} {{ '-'.join(words) }} {{ 'prefix'.removeprefix('pre') }} {{ 'a.py'.removesuffix('.py') }} {{ '12'.isdigit() }} {{ ' '.isspace() }} {{ 'abc'.startswith(('x', 'a')) }}
{{ 'é中😀x'[1] }} {{ 'é中😀x'[-2] }} {{ 'é中😀x'[1:3] }} {{ 'é中😀x'[::-1] }} {{ 'é中😀x'[-1::-2] }} {{ 'abc'[5] is defined }} {{ 'abc'[1:] }} {{ 'é中' | list }} {{ 'é中' | reverse }} {{ 'é中' | first }} {{ 'é中' | last }} {{ words[1:3] }} {{ words[::2] }} {{ words[-2:] }} {{ (1, 2, 3)[1:] }} {{ words | reverse | list }} {{ 'é中😀x' | length }}
{{ 'ÄÖü ß é' | upper }} {{ 'ÄÖÜ É' | lower }} {{ 'éA bC' | capitalize }} {{ "it's a-b c" | title }} {{ "it's a-b c".title() }} {{ 'ДОМ'.lower() }} {{ 'abc' is lower }} {{ 'ABC1' is upper }} {{ '1' is upper }}
{{ 'ǆ ǉǌ ǲa'.title() }} {{ 'ǆa' | title }} {{ 'ǇA' | capitalize }} {{ 'ǆ' | upper }} {{ 'İI' | lower }} {{ 'ß İ'.title() }} {{ 'ß aİ' | title }} {{ 'ßß'.upper() }}
{{ 'a\nb\n\nc' | indent }}| {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(1, blank=true) }} {{ 'a\nb\n' | indent('> ') }}|
{{ words is sequence }} {{ d is mapping }} {{ d is sequence }} {{ 1 is number }} {{ 1.5 is float }} {{ 1.5 is number }} {{ none is iterable }} {{ x is iterable }} {{ x is sequence }} {{ raise_exception is callable }} {{ 1 is sameas 1 }} {{ 1 is sameas true }} {{ 4 is divisibleby 2 }} {{ 'a' is in 'abc' }} {{ 1 is lt 2 }} {{ 3 is ge 3 }} {{ d.items() is mapping }} {{ (1, 2) is sequence }} {{ words|map('upper') is sequence }} {{ words|map('upper') is iterable }}
{{ x is defined and x.y }} {{ x == y }} {{ x == none }} {{ x ~ 'a' }} {{ x | length }} {{ x | list }} {{ x | default(1) | string }} {{ none.foo }} {{ none.foo is defined }} {{ words.foo is defined }} {{ 5 .foo is defined }} {{ 'a' in x }} {% for i in x %}{% else %}none{% endfor %}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (c, d2), e = [(3, 4), 5] %}{{ c }}{{ d2 }}{{ e }} {% set t = 1, 2 %}{{ t }} {{ 1, 'x' }} {% for k, (l, m) in [(1, (2, 3))] %}{{ k }}{{ l }}{{ m }}{% endfor %} {% for i in 1, 2 %}{{ i }}{% endfor %}
{% set ns = namespace(a=1, l=[]) %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }} {{ ns.l }} {{ ns.nothing is defined }}
{% set a = 1 %}{% if true %}{% set a = 2 %}{% endif %}{{ a }} {% for i in [1] %}{% set a = 3 %}{% if true %}{% set a = 4 %}{% endif %}{{ a }}{% endfor %}{{ a }} {% set b %}{% set a = 5 %}{{ a }}{% endset %}{{ b }}{{ a }}
{% set u | upper %}abc{{ 1 }}{% endset %}{{ u }} {% set v | trim | length %}  ab {% endset %}{{ v }} {% filter upper %}x{{ 'y' }}{% set zz = 1 %}{% endfilter %} {{ zz is defined }} {% filter replace('a', 'b') | upper %}aa{% endfilter %}
{% macro outer(x) %}{% macro inner(y) %}[{{ x }}{{ y }}]{% endmacro %}{{ inner(1) }}{{ inner(2) }}{% endmacro %}{{ outer('a') }} {% set q = 1 %}{% macro g() %}{{ q }}{% endmacro %}{% set q = 2 %}{{ g() }} {% for i in [7] %}{% macro h() %}{{ i }}{% endmacro %}{{ h() }}{% endfor %}
{% macro tree(n, depth=0) -%}{{ '  ' * depth }}{{ n.type }}{% if n.properties is defined %}{% for k, v in n.properties.items() %}{{ '\n' }}{{ k }}:{{ tree(v, depth + 1) }}{% endfor %}{% endif %}{%- endmacro %}{{ tree(schema) }}
{% for i in [1, 2, 3] %}{{ loop.cycle('a', 'b') }}{{ loop.depth }}{% for j in 'xy' %}{{ loop.depth0 }}{{ loop.index }}{{ j }}{% endfor %}{% endfor %}
{% for i in 'abc' %}{{ loop.previtem }}{{ i }}{{ loop.nextitem }}{% if loop.nextitem is not defined %}!{% endif %} {% endfor %}
{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% continue %}{% endif %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% for i in [1, 2] %}{% break %}{% else %}never{% endfor %}{% for i in [1, 2] if i > 5 %}{% else %}empty{% endfor %}
{{ '\x41\u00e9\U0001F600\101\0' | length }} {{ "\a\b\f\v" | tojson }} {{ 'é\n' | length }}
{{ "a'b" }} {{ ["a'b", 'a"b', "a'b\"c", 'a\\b\n\t\x00\x7f\xa0é中\u200b\ufeff'] }}
{{ '{"a": [1, 2.0, "x"], "b": null}' | from_json }} {{ ('{"k": "v"}' | from_json).k }}
{{ people[0].name ~ people[-1]['name'] }} {{ people.0.name }} {{ (people | first).name }} {{ people[1].tags is defined }} {{ people | length }}
{{ d.a | join('|') }} {{ d.a[1:3] | join }} {{ [[1, 2], [3]] | sum(start=[]) }} {{ [1, 2] | sum }}
{{ 1 if d else 2 }} {{ 1 if empty else 2 }} {{ 1 if zero or off or null or '' or [] or 0.0 else 2 }} {{ one and 'yes' }} {{ not d }} {{ (1 == 1) | string }} {{ true | tojson }}
{{ dict(a=1, b='x') }} {{ dict({'k': 1}, z=2) }} {% set dd = dict(d) %}{{ dd.b }} {{ {'a': 1}.copy() }}
{{ "%" }}{{ '{{' }}{{ '#}' }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ (1) }} {{ ((1, 2), 3) }} {{ -1 | abs }} {{ - 3 + 1 }} {{ not 1 in [1] }} {{ 1 not in [1] }} {{ 'a' if 1 == 1 and 2 == 2 else 'b' }} {{ 1 < 2 and 2 < 3 }} {{ 'x' ~ 1 * 2 }} {{ 2 * 'a' ~ 'b' }} {{ words | length > 2 }} {{ words|length - 1 }} {{ d.a[0] is number and true }}
{% macro sp(a, b=2, c=3) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ sp(*[1, 5]) }} {{ sp(*[7], **{'c': 8}) }} {{ sp(1, *[2], c=4) }} {{ [sp][0](*'xy') }}
{% set x = 1 %}{% macro own(x=x, y=x) %}[{{ x }}{{ y }}]{% endmacro %}{{ own() }}{{ own(2) }}{{ own(y=3) }} {{ true | round(1) }} {{ numbers.copy() }} {{ (words | map('upper'))|first }}
{{ x in {'a': 1} }} {{ {none: 1}[none] }} {% for i in 'a' %}{{ loop is callable }}{% endfor %}
{{ none | selectattr('a') | list }} {{ none | map('upper') | list }} {{ zero | select | list }}
{{ 'a{}b{}'.format(1, 'x') }}{{ '{0}{1}{0}'.format('p', 'q') }}{{ '{n}-{m}'.format(n=1, m=2) }}{{ '{{}}{}'.format(3) }}{{ '<\uff5chy{}>'.format(':\u00e9') }}{{ '{d[a][1]} {p[0][name]} {d[C][x]}'.format(d=d, p=people) }}
{{ '{:>5}|{:<5}|{:^5}|{:*^6}|{:05d}|{:.2f}|{:x}|{:X}|{:,}|{!s}'.format('a', 'b', '\u00e9', 'd', -42, 3.14159, 255, 255, 1234567, 'q') }}{{ '{:5}|{:+d}|{:%}|{:e}|{:.3}|{: d}|{:08.3f}|{:,.1f}'.format(7, 5, 0.5, 12345.678, 'abcdef', 3, -2.5, 98765.43) }}
{{ '{} {} {} {} {} {}'.format(none, true, words, d.C, 1.0, 1e-7) }}{{ '{:d}'.format(true) }}{{ ''.format(1) }}
{{ 'abcdef'.startswith('c', 2) }}{{ 'abcdef'.startswith('c', 3) }}{{ 'abcdef'.endswith('cd', 0, 4) }}{{ 'abcdef'.endswith('f', -1) }}{{ 'a\nb\r\nc'.splitlines(true) }}{{ 'a\n'.splitlines(keepends=false) }}
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
    "{{ 'a\\\nb' }}",
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
env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
    x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
env.filters["from_json"] = json.loads
with open("template_conversation.inc", "w") as out:
    print("/* Made by make_template_cases.py. */\n  %s" % quoted(json.dumps(
        {"messages": MESSAGES, "chat_template_kwargs": VARIABLES}, ensure_ascii=False)), file=out)
cases = open("template_cases.inc", "w")
print("/* Made by make_template_cases.py: template, what Jinja makes of it. */", file=cases)
for template in TEMPLATES:
    try:
        wanted = env.from_string(template).render(copy.deepcopy(dict(
            VARIABLES, messages=MESSAGES, tools=None, documents=None, bos_token="<s>", eos_token="</s>",
            add_generation_prompt=True)))
    except Exception as error:
        sys.exit("%s: %s" % (template, error))
    print("{ %s,\n  %s }," % (quoted(template), quoted(wanted)), file=cases)
