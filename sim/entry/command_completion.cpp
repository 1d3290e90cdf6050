#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "sim/entry/commands.hpp"

namespace tandem::entry {
namespace {

/// Subcommands that help shows; those of no group are for the program itself.
std::vector<const CLI::App*> shown_subcommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* own) { return !own->get_group().empty(); });
}

/// Lines of a case of bash: the words after a command's path, deepest commands too.
void add_cases(const CLI::App& app, const std::string& path, std::string& text) {
  std::string words;
  for (const CLI::App* command : shown_subcommands(app)) words += command->get_name() + " ";
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
    for (const std::string& name : option->get_snames()) words += "-" + name + " ";
  }
  text += fmt::format("    \"{}\") words=\"{}\" ;;\n", path, words);
  for (const CLI::App* command : shown_subcommands(app)) {
    add_cases(*command, path.empty() ? command->get_name() : path + " " + command->get_name(),
              text);
  }
}

/// Words that name commands, to tell them from arguments.
void add_paths(const CLI::App& app, const std::string& path, std::string& text) {
  for (const CLI::App* command : shown_subcommands(app)) {
    const std::string own = path + command->get_name();
    text += "\"" + own + "\" ";
    add_paths(*command, own + " ", text);
  }
}

constexpr const char* script =
    R"bash(# Completion of tandem for bash: source <(tandem completion bash)
_tandem_names() {{
  local kind
  for kind in "$@"; do "${{COMP_WORDS[0]}}" list "$kind" 2>/dev/null; done
}}
_tandem() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} path="" words="" i next
  local -a known=({})
  for ((i = 1; i < COMP_CWORD; i++)); do
    next=${{path:+$path }}${{COMP_WORDS[i]}}
    [[ " ${{known[*]/#/@}} " == *"@$next "* ]] && path=$next
  done
  case $previous in
    --chip) COMPREPLY=($(compgen -W "$(_tandem_names chips)" -- "$current")); return ;;
    --op) COMPREPLY=($(compgen -W "$(_tandem_names operators)" -- "$current")); return ;;
    --system) COMPREPLY=($(compgen -W "$(_tandem_names systems)" -- "$current")); return ;;
    --fidelity) COMPREPLY=($(compgen -W "cycle analytical" -- "$current")); return ;;
  esac
  case $path in
{}  esac
  if [[ $current != -* ]]; then
    case $path in
      run | capacity | step | generate | score | "lpu compile") words="$words $(_tandem_names scenarios)" ;;
      describe) words="$words $(_tandem_names chips links systems models scenarios)" ;;
      list) words="chips links systems models scenarios operators" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ $current != -* ]] && COMPREPLY+=($(compgen -f -- "$current"))
}}
complete -o filenames -F _tandem tandem
)bash";

}  // namespace

void add_completion(CLI::App& app, Session&) {
  CLI::App* command = app.add_subcommand("completion", "Prints the completion script of a shell");
  auto shell = std::make_shared<std::string>("bash");
  command->add_option("shell", *shell, "bash")->check(CLI::IsMember({"bash"}));
  command->callback([&app, shell] {
    std::string paths;
    std::string cases;
    add_paths(app, "", paths);
    add_cases(app, "", cases);
    std::cout << fmt::format(fmt::runtime(script), paths, cases);
  });
}

}  // namespace tandem::entry
