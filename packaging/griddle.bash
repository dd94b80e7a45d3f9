# bash completion for griddle; from `griddle completion bash`
_griddle() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=
	if [ "$COMP_CWORD" = 1 ]; then
		words='up down make cc run map submit job task admin load status nodes top explain place doctor keys agent completion version help'
	else
		case ${COMP_WORDS[1]}:$prev in
		make:--remote) words='auto always never' ;;
		job:--output|job:-o) words='table json name' ;;
		task:--output|task:-o) words='table json name' ;;
		admin:--output|admin:-o) words='table json name' ;;
		load:--http) words='1.1 2' ;;
		load:--output|load:-o) words='table json csv' ;;
		status:--output|status:-o) words='table json name' ;;
		nodes:--output|nodes:-o) words='table json name' ;;
		top:--sort) words='name load failed' ;;
		explain:--output|explain:-o) words='table json name' ;;
		doctor:--output|doctor:-o) words='table json name' ;;
		agent:--remote) words='auto always never' ;;
		agent:--compress) words='auto always never' ;;
		up:*) words='--workers --slots --cache-bytes --agent --help' ;;
		down:*) words='--help' ;;
		make:*) words='--jobs --remote --cache --summary --summary-json --coordinator --keys --server-key --help' ;;
		cc:*) words='--help' ;;
		run:*) words='--stdin --in --out --to --env --cpus --mem --gpus --timeout --retries --output-cap --where --network --shell --name --tenant --priority --idle --detach --quiet --coordinator --keys --server-key --help' ;;
		map:*) words='--keep-order --tag --pipe --block --max-args --columns --null --halt --dry-run --in --out --to --env --cpus --mem --gpus --timeout --retries --output-cap --where --network --shell --name --tenant --priority --idle --detach --quiet --coordinator --keys --server-key --help' ;;
		submit:*) words='json --wait --dry-run --show --name --quiet --coordinator --keys --server-key --help' ;;
		job:*) words='ls show logs cancel pause resume retry rm fetch usage --output --state --tenant --limit --follow --stdout --stderr --attempt --failed --reason --to --quiet --coordinator --keys --server-key --help' ;;
		task:*) words='ls show --output --state --limit --coordinator --keys --server-key --help' ;;
		admin:*) words='backup check vacuum export --output --coordinator --keys --server-key --help' ;;
		load:*) words='http run json ls show stop compare --rate --for --ramp --users --connections --workers --threads --method --header --body --http --timeout --late --threshold --name --output --html --junit --yes --insecure --quiet --detach --coordinator --keys --server-key --help' ;;
		status:*) words='--output --wait --coordinator --keys --server-key --help' ;;
		nodes:*) words='--output --coordinator --keys --server-key --help' ;;
		top:*) words='--interval --sort --workers --once --simulate --coordinator --keys --server-key --help' ;;
		explain:*) words='--output --coordinator --keys --server-key --help' ;;
		place:*) words='replay --decisions --help' ;;
		doctor:*) words='--output --coordinator --keys --server-key --help' ;;
		keys:*) words='new import show allow token --keys --allow --from-kube --roles --tokens --help' ;;
		agent:*) words='--coordinator --socket --state --keys --server-key --remote --compress --cache --cache-bytes --local-slots --reconnect-wait --unit-timeout --session-idle --idle-exit --ready-file --log --status --stop --help' ;;
		completion:*) words='bash --help' ;;
		version:*) words='--help' ;;
		help:*) words='up down make cc run map submit job task admin load status nodes top explain place doctor keys agent completion version help' ;;
		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
	[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$cur"))
}
complete -F _griddle griddle
