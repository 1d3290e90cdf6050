# Joins the parts of a page into one string of C++: -DFOLDER= with page.html, whose lines
# <!-- include FILE --> stand for the files, -DHEADER= the header that declares it, -DNAME= of the
# string, -DOUTPUT=.
file(READ ${FOLDER}/page.html page)
string(REGEX MATCHALL "<!-- include [a-z_.]+ -->" slots "${page}")
foreach(slot IN LISTS slots)
  string(REGEX REPLACE "<!-- include ([a-z_.]+) -->" "\\1" file "${slot}")
  file(READ ${FOLDER}/${file} text)
  string(REPLACE "${slot}" "${text}" page "${page}")
endforeach()
file(WRITE ${OUTPUT}
  "#include \"${HEADER}\"\n\nnamespace tandem::entry {\n\nconst char* const ${NAME} = R\"page(${page})page\";\n\n}  // namespace tandem::entry\n")
