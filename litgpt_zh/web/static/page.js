import Alpine from "./alpine.js"

const words = await (await fetch(new URL("./words.json", import.meta.url))).json()
const FEATURES = ["对话", "坏结局", "冲突", "伏笔", "道德价值", "转折"]
const SIGNS = { yes: "✓", no: "✗", open: "–", wait: "…" }

/** `text` cut into [piece, whether it is wanted]; longer words win over shorter ones inside them. */
function highlighted(text, wanted) {
  if (!wanted.length) return [[text, false]]
  const longest = [...wanted].sort((a, b) => b.length - a.length)
  const any = longest.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")
  return text.split(new RegExp(`(${any})`)).map((piece, i) => [piece, i % 2 === 1]).filter(([piece]) => piece)
}

/** x-story="side": its text with what was wanted marked. Only ever sets textContent, and leaves alone what stays the same. */
Alpine.directive("story", (el, { expression }, { evaluateLater, effect }) => {
  const get = evaluateLater(expression)
  const tagOf = (marked) => (marked ? "MARK" : "SPAN")
  effect(() => get((side) => {
    const pieces = highlighted(side.text, side.wanted)
    let same = 0
    while (same < pieces.length && same < el.childNodes.length && el.childNodes[same].textContent === pieces[same][0]
      && el.childNodes[same].nodeName === tagOf(pieces[same][1])) same++
    while (el.childNodes.length > same) el.lastChild.remove()
    for (const [text, marked] of pieces.slice(same)) {
      const node = document.createElement(tagOf(marked))
      node.textContent = text
      el.append(node)
    }
  }))
})

class Refusal extends Error {
  constructor({ message, code }) {
    super(message)
    this.code = code
  }
}

Alpine.data("page", () => ({
  language: localStorage.getItem("language") || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"),
  locked: false, key: sessionStorage.getItem("key") || "", models: [], features: FEATURES, file: "", votes: {},
  mode: "constraints", words: "", wanted: [], summary: "", sentence: "", text: words.texts[0],
  left: "", right: "", compare: false, blind: false, temperature: 0.7, length: "", seed: "",
  busy: false, problem: "", sides: [], pair: null, voted: null, hiding: false, exported: null, stopping: null,

  async init() {
    this.speak()
    Object.assign(this, words.example)
    await this.attempt(this.load)
  },
  get say() { return words[this.language] },
  get other() { return this.language === "zh" ? "en" : "zh" },
  get open() { return !this.hiding || this.voted !== null },

  turn() {
    this.language = this.other
    localStorage.setItem("language", this.language)
    this.speak()
  },
  speak() {
    document.documentElement.lang = this.language === "zh" ? "zh-CN" : "en"
    document.title = `${this.say.title} · litgpt-zh`
  },

  async load() {
    const state = await (await this.ask("web/state")).json()
    Object.assign(this, { models: state.models, file: state.file, votes: state.votes, locked: false })
    const chat = this.models.filter((model) => model.chat)
    this.left = (chat.at(-2) || chat.at(-1) || this.models.at(-1)).name
    this.right = (chat.at(-1) || this.models.at(-1)).name
    this.compare = this.left !== this.right
    if (!chat.length) this.mode = "text"
  },
  async unlock() {
    sessionStorage.setItem("key", this.key)
    await this.attempt(this.load)
  },

  /** An answer of the server; whatever is wrong is thrown. */
  async ask(path, body, signal) {
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {}
    const how = body ? { method: "POST", body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" }, signal } : { headers }
    const answer = await fetch(path, how)
    if (answer.ok) return answer
    const { error } = await answer.json().catch(() => ({ error: { message: `HTTP ${answer.status}` } }))
    throw new Refusal(error)
  },
  /** Do it, and say in one line what went wrong. */
  async attempt(work) {
    this.problem = ""
    try {
      await work.call(this)
    } catch (error) {
      if (error.name === "AbortError") return
      const known = this.say.errors[error.code]
      this.problem = error instanceof Refusal ? known || error.message : this.say.errors.offline
      if (error.code === "invalid_api_key") {
        if (!this.locked) this.problem = ""
        this.locked = true
      }
      if (!(error instanceof Refusal)) console.warn(error)
    }
  },

  /** Another request: one that the story world makes, or the next of a few texts. */
  async another() {
    if (this.mode === "text") {
      this.text = words.texts[(words.texts.indexOf(this.text) + 1) % words.texts.length]
      return
    }
    await this.attempt(async () => {
      const { features, ...rest } = await (await this.ask("web/example")).json()
      Object.assign(this, rest, { wanted: features })
    })
  },
  async next() {
    await this.another()
    if (!this.problem) await this.tell()
  },
  choose(feature) {
    this.wanted = this.wanted.includes(feature) ? this.wanted.filter((one) => one !== feature) : [...this.wanted, feature]
  },
  label(model) { return model.chat ? model.name : `${model.name}${this.say.pretrained}` },

  async tell() {
    if (this.busy) return
    const names = this.compare ? [this.left, this.right] : [this.left]
    if (this.compare && this.blind && Math.random() < 0.5) names.reverse()
    const asked = this.mode === "text" ? { text: this.text } : { words: this.words, features: this.wanted, summary: this.summary, sentence: this.sentence }
    const number = (value) => (value === "" ? null : Number(value))
    const body = { models: names, mode: this.mode, ...asked, temperature: this.temperature, max_tokens: number(this.length), seed: number(this.seed) }
    this.sides = names.map((model) => ({ model, text: "", wanted: [], met: [], seed: null, finish: "", tokens: 0, started: performance.now(), seconds: 0 }))
    Object.assign(this, { busy: true, pair: null, voted: null, hiding: this.compare && this.blind, stopping: new AbortController() })
    this.$nextTick(() => this.reveal())
    await this.attempt(() => this.read(body))
    for (const side of this.sides) side.finish ||= "stopped"
    if (this.problem && this.sides.every((side) => !side.text)) this.sides = []
    this.busy = false
  },
  /** On a small screen the stories are below what was just pressed. */
  reveal() {
    const place = document.getElementById("stories")
    if (place.getBoundingClientRect().top > innerHeight * 0.55) place.scrollIntoView({ behavior: "smooth", block: "start" })
  },
  halt() { this.stopping.abort() },
  async read(body) {
    const answer = await this.ask("web/stories", body, this.stopping.signal)
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = "", whole = false
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const events = (rest + part.value).split("\n\n")
      rest = events.pop()
      for (const event of events) whole = this.hear(JSON.parse(event.slice("data: ".length))) || whole
    }
    if (!whole) throw new Error("the stream ended early")
  },
  /** One event; true when it is the last. */
  hear({ error, done, id, side: number, more, ...news }) {
    if (error) throw new Refusal(error)
    if (id) this.pair = id
    if (number === undefined) return done
    const side = this.sides[number]
    Object.assign(side, news)
    if (more) side.text += more
    if (news.finish) side.seconds = (performance.now() - side.started) / 1000
  },

  letter(number) { return number ? this.say.b : this.say.a },
  state({ met }, { finish }) { return met === null ? "open" : met ? "yes" : finish ? "no" : "wait" },
  sign(one, side) { return SIGNS[this.state(one, side)] },
  named({ kind, name }) {
    if (kind === "word") return name
    return kind === "feature" ? this.say.feature[name] || name : this.say[kind]
  },
  ending(side) {
    const facts = [this.say.finish[side.finish], `${[...side.text].length}${this.say.characters}`]
    if (side.seconds) facts.push(`${side.seconds.toFixed(1)}${this.say.seconds}`)
    if (side.seed !== null) facts.push(`${this.say.seed} ${side.seed}`)
    return facts.join(" · ")
  },
  again(side) { this.seed = String(side.seed) },

  async vote(choice) {
    await this.attempt(async () => {
      const answer = await (await this.ask("web/vote", { id: this.pair, vote: choice })).json()
      Object.assign(this, { voted: choice, votes: answer.votes, exported: null })
    })
  },
  total() { return (this.votes.left || 0) + (this.votes.right || 0) + (this.votes.same || 0) },
  fill(text, values) { return text.replace(/\{(\w+)\}/g, (_, name) => values[name]) },
  thanks() {
    if (this.voted === "same") return this.say.thanks_same
    const number = this.voted === "left" ? 0 : 1
    return this.fill(this.say.thanks, { letter: this.letter(number), model: this.sides[number].model })
  },
  tally() { return this.fill(this.say.tally, { total: this.total(), decided: (this.votes.left || 0) + (this.votes.right || 0), same: this.votes.same || 0 }) },
  async take() {
    await this.attempt(async () => {
      const chat = this.models.filter((model) => model.chat).map((model) => model.name)
      const model = chat.includes(this.left) ? this.left : chat.at(-1) || this.left
      this.exported = await (await this.ask("web/pairs", { model })).json()
    })
  },
  made() { return this.exported ? this.fill(this.exported.commands.length ? this.say.made : this.say.made_few, this.exported) : "" },
  missing() {
    const left = Object.entries(this.exported ? this.exported.left_out : {})
    return left.length ? this.say.left_out + left.map(([why, n]) => `${this.say.reason[why] || why} ${n}`).join(this.say.comma) : ""
  },
  commands() { return this.exported ? this.exported.commands : [] },
}))

Alpine.start()
