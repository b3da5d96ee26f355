{# One query for every generic test of the project: the name of each that finds rows. A test costs
   dbt forty times what it costs the engine, so a run asks them together, and runs only those that
   fail by themselves. A test with a severity or a count of its own is always among these. #}
{% macro failing_data_tests() %}
  {%- for test in graph.nodes.values() if test.resource_type == 'test' and test.test_metadata %}
    {%- set own = test.config.get('severity', 'ERROR') | upper != 'ERROR'
      or test.config.get('error_if', '!= 0') != '!= 0'
      or test.config.get('fail_calc', 'count(*)') != 'count(*)'
      or test.config.get('limit') is not none %}
    {{ 'union all' if not loop.first }}
    select '{{ test.name }}' as test_name
    where {% if own %}true{% else %}exists ({{ _data_test(test) }}){% endif %}
  {%- endfor %}
{% endmacro %}


{# The rows that fail one generic test, as SQL. #}
{% macro _data_test(test) %}
  {%- set arguments = {} %}
  {%- for name, value in test.test_metadata.kwargs.items() %}
    {%- do arguments.update({name: value}) %}
  {%- endfor %}
  {%- set relation = graph.nodes[test.attached_node].relation_name %}
  {%- set where = test.config.get('where') %}
  {%- do arguments.update({
    'model': '(select * from ' ~ relation ~ ' where ' ~ where ~ ') as tested' if where else relation
  }) %}
  {%- if arguments.to %}
    {%- set other = arguments.to | replace('"', "'") %}
    {%- set name = other.split("'")[1] %}
    {%- for node in graph.nodes.values() if node.name == name and node.resource_type != 'test' %}
      {%- do arguments.update({'to': node.relation_name}) %}
    {%- endfor %}
  {%- endif %}
  {{- context['test_' ~ test.test_metadata.name](**arguments) }}
{%- endmacro %}
