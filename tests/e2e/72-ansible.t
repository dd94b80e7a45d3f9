#!/bin/bash
# 72-ansible.t - packaging/ansible: ansible reads it, and what it writes is what the programs take. Real hosts: make ansible-check
. "$(dirname "$0")/cluster.sh"
command -v ansible-playbook >/dev/null || skip_all "ansible-core is not installed"
A=$TOP/packaging/ansible
export ANSIBLE_HOME=$T/ansible ANSIBLE_LOCAL_TEMP=$T/ansible ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=0
quiet() { "$@" >"$T/out" 2>&1; _r=$?; [ $_r = 0 ] || diag <"$T/out"; return $_r; }
check "ansible finds no mistake" quiet ansible-playbook -i "$A/inventory.ini" --syntax-check "$A/site.yml"
check "yamllint is content" quiet yamllint -d '{extends: relaxed, rules: {line-length: disable}}' "$A"
cat >"$T/show.yml" <<'Y'
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {content: "{{ vars[item] | to_nice_json }}", dest: "{{ here }}/{{ item }}"}
      loop: [griddle_coordinator_base, griddle_worker_base]
Y
cp -r "$A/group_vars" "$T/"
printf '[griddle_coordinator]\nlocalhost ansible_connection=local ansible_python_interpreter=%s\n' "$(command -v python3)" >"$T/inventory.ini"
check "its settings come out" quiet ansible-playbook -i "$T/inventory.ini" -e "here=$T" "$T/show.yml"
for p in coordinator worker; do
	check "griddle-$p takes them" quiet "$BIN/griddle-$p" --check-config --config "$T/griddle_${p}_base"
	check "they name a key" grep -q '"keys"' "$T/griddle_${p}_base"
done
check "every unit it enables is one of packaging/systemd" eval 'for u in $(sed -n "s/.*griddle_unit: \([a-z-]*\).*/\1/p" "$A/site.yml"); do [ -f "$TOP/packaging/systemd/$u.service" ] || exit 1; done'
done_testing
