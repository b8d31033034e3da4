// muster completion: what bash needs to complete nouns, verbs and options, from the tables that make --help.
#include "tools/cli.h"

#include <stdio.h>
#include <string.h>

static void print_options(const struct args_option *options)
{
	for (; options && options->name; options++)
		(void)printf(" --%s", options->name);
}

static void print_nouns(void)
{
	CLI_FOR_EACH_VERB(verb)
	{
		if (cli_is_first(verb))
			(void)printf("%s ", verb->noun);
	}
}

static void print_verbs(const char *noun)
{
	(void)printf("\t2:%s:*) words=\"", noun);
	CLI_FOR_EACH_VERB(verb)
	{
		if (strcmp(verb->noun, noun) == 0)
			(void)printf("%s ", verb->verb);
	}
	(void)printf("--help\" ;;\n");
}

int completion_run(struct cli *cli)
{
	(void)printf("# source <(muster completion)\n"
		     "_muster() {\n"
		     "\tlocal words='' word=${COMP_WORDS[COMP_CWORD]}\n"
		     "\tcase $COMP_CWORD:${COMP_WORDS[1]}:${COMP_WORDS[2]-} in\n"
		     "\t1:*) words=\"");
	print_nouns();
	(void)printf("--help --version\" ;;\n");
	CLI_FOR_EACH_VERB(verb)
	{
		if (verb->verb && cli_is_first(verb))
			print_verbs(verb->noun);
		(void)printf("\t*:%s:%s) words=\"", verb->noun, verb->verb ? verb->verb : "*");
		print_options(verb->options);
		print_options(cli_common_options);
		(void)printf("\" ;;\n");
	}
	(void)printf("\tesac\n"
		     "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
		     "}\n"
		     "complete -o default -F _muster muster ./muster\n");
	return CLI_OK;
}
