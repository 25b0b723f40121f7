-- Recipe: the text of the recipe that Enter runs, with its error at its line. e edits it in your own editor.

local view = { title = "Recipe", tab = "Recipe", order = 50, column = "left", priority = 9, weight = 3, min_width = 46,
  min_height = 6,
  help = "The recipe that Enter runs. e opens it in $VISUAL or $EDITOR (a shipped recipe: a copy of it), A runs it "
    .. "whenever its file is saved, w writes it to a file; u takes back a change of the recipe or its params." }

function view.draw()
  local state, again = ui.recipe("state"), ui.recipe("on_save")
  local width = ui.size()
  local note = state .. (again ~= "" and ", " .. again or "")
  local full = ui.recipe("file") .. "  " .. note
  ui.note(#full + 14 <= width and full or note)
  ui.code()
end

return view
