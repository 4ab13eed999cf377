"""Plots of wit and folly: false alarms, swaps, a stall, a boast."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


@plot("狼来了")
def cry_wolf(w: World) -> None:
    """False alarms for fun; when the danger is real, nobody comes, or almost nobody."""
    w.hero("h")
    w.friend("f")
    w.put("b", "大灰狼 老虎 豹子 黑熊 狮子 大水 野猪 毒蛇 马蜂 大黄蜂 棕熊 狼") if not w.animals else w.put(
        "b", "大水 马蜂 猎人 山洪 黄蜂 大黄蜂 猎狗"
    )
    w.place("p", "stroll")
    w.tell(
        "{h}觉得日子太{*mood:bored}，{at}就在{p.in}大喊：“{b}来了！”"
        if w.talks
        else "{h}觉得日子太{*mood:bored}，{at}就在{p.in}大喊{b}来了。",
        "{when}{h}想捉弄大家，跑来喊道：“救命，{b}来了！”",
        "{h}最爱说谎话，{at}又想出了一个坏主意，骗大家说{b}来了。",
        "<h.shout 不好了，{b}来了！>其实{p.in}什么也没有。",
    )
    w.tell(
        "大家[扔下手里的活|急忙]跑来，却看见{h}笑得直打滚。",
        "{f}和伙伴们拿着{*thing:sticks}赶来，才知道上了当。",
        "{f}吓得[脸都白了|跌了一跤]，{h}却哈哈大笑。",
        "{*idiom:panic@f}，{h}却笑得直不起腰。",
        "{*idiom:listen_scared@f}，{h}却偷偷地笑。",
        "大家吓得赶紧{*action:dodge}，{h}却在一边偷笑。",
        "大家吓得四处乱跑，{h}却在一边偷笑。",
    )
    w.tell(
        "过了几天，{h}又喊了一次，大家又白跑了一趟。",
        "第二天，{h}还是这样骗人，大家{*mood:angry.very}。",
        "{h}觉得很好玩，[一连骗了三次|第二天又喊了起来]。",
        "<f.angry 你再骗人，就没有谁相信你了。>{h}[吐吐舌头|根本不听]。",
    )
    w.more(
        "{f}劝{h}别再说谎，{h}[摆摆手|撇撇嘴]说：“开个玩笑嘛！”",
        "{h}还得意地数着：今天骗了五个，明天要骗十个。",
    )
    w.para()
    w.tell(
        "谁知有一天，{b}真的来了！",
        "没想到，这一次{b}真的来了。",
        "一天傍晚，{h}回头一看，{b}真的来了！",
        "可是后来，{b}[果真|真的]来了，{h}吓得脸色发白。",
    )
    w.tell(
        "{h}[拼命|扯着嗓子]喊救命，可是谁也没有来。",
        "{*idiom:flee@h}，边跑边喊，可是没有谁相信。",
        "{h}一边跑一边喊，大家都以为又是骗人。",
        "<h.cry 这次是真的，快救救我！>可是没有谁相信。",
        "{*idiom:scared@h}，大声呼救，却没有谁理会。",
    )
    if w.flag("坏结局", 0.6):
        w.tell(
            "等到天黑，{h}才[一瘸一拐地|浑身是泥地]逃回家，什么都丢光了。",
            "{h}在外面躲了一夜，又冷又怕，后悔极了。",
            "最后，{h}受了伤，躺在床上流下了后悔的眼泪。",
        )
    else:
        w.flag("转折")
        w.tell(
            "只有{f}不放心，跑来看了看，才把{h}救了出来。",
            "幸好{f}[听出|觉得]这次不一样，叫来大家，救了{h}。",
            "{*idiom:brave@f}，把{h}救了出来。",
            "就在这时，{f}赶来了，拉起{h}就跑。",
        )
        w.tell(
            "<h.sorry 我再也不说谎了。>",
            "{h}抱着{f}哭了，从此再也不骗人了。",
            "{*idiom:shame@h}，再也没说过一句谎话。",
        )
    w.more("从那天起，{h}每说一句话，都要先想一想是不是真的。", "后来，{h}把这件事讲给每一个新来的小伙伴听。")
    w.moral("lies", probability=0.5)
    w.sum(
        "{h}总是骗大家说{b}来了，等{b}真的来了，就没有谁相信{h}了。",
        "{h}用{b}骗人取乐，后来真的遇上{b}，吃了说谎的苦头。",
    )


@plot("换来换去")
def trade(w: World) -> None:
    """A chain of swaps, each from kindness or folly, ends in gain or in the first thing again."""
    w.hero("h")
    w.friend("f")
    w.friend("g")
    w.elder("e")
    w.pick("x", "thing", "losable", "sale", "-paper", w.choice("toy", "container", "wearable"))
    while w.pick("y", "food", "shareable", "-drink", "-candy").measure in ("颗", "朵"):
        pass
    while w.pick("z", "thing", "losable", "gift", "-paper", w.choice("toy", "container", "school")).measure in (
        "台",
        "架",
    ):
        pass
    w.place("p", "shop") if not w.animals else w.place("p", "stroll")
    w.tell(
        "{when}{h}带着{x.onea}出门，想换点有用的东西。",
        "{h}有{x.one}，一直用不着，{at}就想[跟别人换|拿它换点别的]。",
        "{when}{h}找出了{x.onea}，想拿去换点别的。",
        "{when}{h}拿着{x}来到{p.in}，想换点新鲜的东西。",
        "{e}给了{h}{x.one}，说：“拿去吧，说不定有用。”" if w.talks else "{e}给了{h}{x.one}，让{h}拿去换点有用的。",
    )
    w.tell(
        "路上，{f}正缺一{x.m}{x}，就用{y.one}跟{h}换了。",
        "{f}[看中了|喜欢]{x}，拿出{y.onea}来换。",
        "<f.ask 用我的{y}换你的{x}，好吗？>{h}点点头。",
        "{h}遇到{f}，用{x}换来了{y.one}。",
    )
    w.tell(
        "走着走着，{h}看见{g}饿得走不动了，就把{y}给了{g}，{g}送给{h}{z.one}。",
        "接着，{g}闻到{y}的香味，用{z.onea}换走了它。",
        "{g}好久没吃东西了，{h}就把{y}换给了{g}，得到{z.one}。",
        "<g.say 我用{z}换你的{y}！>{h}[想了想|马上]答应了。",
    )
    w.more(
        "{h}{*mood:glad.very}，一路哼着歌：{x}换{y}，{y}换{z}！",
        "{h}看看手里的{z}，觉得自己[真聪明|运气真好]。",
    )
    w.para()
    kind = w.choice("circle", "need", "loss")
    if kind == "circle":
        w.flag("转折")
        w.tell(
            "谁知道，换来换去，{h}最后又用{z}换回了自己的{x}！",
            "没想到，最后一个要换的，拿出来的正是{h}原来的{x}。",
        )
        w.tell(
            "{h}愣了一下，[笑了起来|拍着脑袋笑了]：原来自己的东西最好。",
            "{*idiom:unexpected@h}，可是心里比什么都高兴。",
            "{h}抱着{x}，这才发现自己有多喜欢它。",
            "{*idiom:realise@h}，再也不拿{x}去换了。",
        )
        w.sum("{h}拿{x}跟大家换来换去，最后又换回了自己的{x}。")
    elif kind == "need":
        w.tell(
            "回到家，{e}看见{z}高兴极了，正好用得着。",
            "{h}把{z}送给{e}，{e}找这样的东西找了好久呢。",
            "正巧{e}急着要{z}，{h}马上拿了出来。",
        )
        w.tell(
            "{*idiom:goodnews@e}，连声夸{h}会办事。",
            "<e.glad 你真是帮了我的大忙！>",
            "{e}笑得合不拢嘴，{h}心里{*mood:glad.very}。",
        )
        w.sum("{h}用{x}换了{y}，又用{y}换了{z}，最后把{z}送给了{e}。")
    else:
        w.flag("坏结局")
        w.tell(
            "可是{h}还不满足，非要再换更好的，结果被骗走了{z}。",
            "{h}[还想换|越换越贪心]，最后{z}换来的竟是一个空盒子。",
        )
        w.tell(
            "{*idiom:empty@h}。",
            "{*idiom:reap@h}，什么也没有了。",
            "{h}两手空空地回了家，{*mood:regretful.very}。",
            "{h}这才想起那{x.m}{x}的好，可是再也换不回来了。",
            "{*idiom:regret@h}。",
        )
        w.moral("owned", probability=0.5)
        w.sum("{h}拿{x}换了又换，越来越贪心，最后什么也没有了。")
    if kind != "loss":
        w.more(
            "后来，{h}和{f}、{g}成了好朋友，常常一起{*activity:games}。",
            "晚上，{h}把这一天的事讲给{e}听，{e}听得直笑。",
        )


@plot("集市上的小摊")
def market(w: World) -> None:
    """A stall of one's own things to earn money for a purpose."""
    w.scene(sky="sunny", occasions="春节 中秋 元宵 儿童节")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.pick("x", "thing", "sale", "-furniture", "losable")
    w.pick("y", "thing", "sale", "-furniture", "losable")
    w.pick("z", "thing", "gift", "sale", "losable")
    w.put("p", "集市 庙会 旧货市场 广场 早市 花市 草地 街角 村口 公园")
    w.tell(
        "{when}{h}想给{e}买{z.one}，可是{z}太{*adj:costly}，{h}就在{p.in}摆了个小摊。",
        "{when}{h}把{x}、{y}摆在{p.in}，要挣钱给{e}买{z}。",
        "为了买{z}，{h}和{f}来到{p.in}卖东西。",
        "{e}一直想要{z.one}，{at}{h}就把用不着的东西拿到{p.in}去卖。",
    )
    w.tell(
        "摊子上有{x.one}、{y.one}，还有{*thing:sale,losable.few}。",
        "{h}把{x}和{y}摆得{*manner:neat}，等着客人来。",
        "<h.shout 快来看，又好又{*adj:cheap}的{x}！>",
        "{f}在纸上写了几个大字：“{x}，{y}，应有尽有。”" if w.talks else "{f}把{x}和{y}摆得整整齐齐。",
    )
    w.tell(
        "可是等了半天，一个客人也没有。",
        "过路的[看一眼就走了|都摇摇头]，{h}{*mood:downcast.very}。",
        "{*idiom:hot@h}，可是一个客人也没有。",
        "{h}喊得嗓子都哑了，东西一件也没卖出去，累得想{*action:repose}。",
        "太阳晒得厉害，东西一件也没卖出去。",
        "好不容易来了{*person:passers.one}，看了看又走了。"
        if not w.animals
        else "好不容易来了一个客人，看了看又走了。",
    )
    w.more(
        "{f}劝{h}回家算了，{h}[不肯|说再等一等]。", "等了大半天，{h}的肚子[咕咕直叫|也饿了]，只啃了几口{*food:bread}。"
    )
    w.para()
    w.tell(
        "{h}想了个办法，{*activity:busk=a}给大家看，客人都围了过来。",
        "{f}{*activity:busk=a}给过路的看，大家都跑来看热闹。",
        "于是{h}一边{*activity:busk}，一边叫卖，摊子前一下子热闹起来。",
        "{h}灵机一动：买一{x.m}{x}，送{*food:snack,-drink.one}！客人一下子多了。",
    )
    if w.flag("转折", 0.4):
        w.tell(
            "没想到，最后来的客人竟是{e}，{e}要买的就是那{y.m}{y}！",
            "谁知一个客人走来，手里正拿着{z.one}，说要用它换{x}。",
            "这时来了一个[哭鼻子|衣服破旧]的孩子，{h}心一软，把{x}送了出去，没想到客人见了，都来买剩下的东西。"
            if not w.animals
            else "这时来了一只哭鼻子的小老鼠，{h}心一软，把{x}送了出去，没想到客人见了，都来买剩下的东西。",
        )
    else:
        w.tell(
            "不一会儿，{x}和{y}全卖光了。",
            "大家你一件我一件，东西很快就卖完了。",
            "大家争着买，东西很快就卖完了。",
            "到太阳下山，摊子上只剩下[一根红绳|一张纸]。",
        )
    w.tell(
        "{h}数了数钱，[刚好|正好]够买{z}。",
        "{h}捧着{z}跑回家，送给了{e}。",
        "{e}收到{z}，[高兴得说不出话|眼睛都湿了]。",
        "回家的路上，{h&f.ta}{*mood:glad.very}，一路唱着歌，带着{z}回家了。",
    )
    w.tell(
        "<h.glad 这是我自己挣来的！>",
        "{h}这才知道，挣钱真不容易。",
        "{h}高兴得一晚上都在笑。",
        "{e}夸{h}是个{*trait:hardworking}的孩子。" if not w.animals else "{e}夸{h}真{*trait:hardworking}。",
    )
    w.moral("work", "wit", probability=0.35)
    w.sum(
        "{h}在{p.in}摆摊卖{x}和{y}，想了个好办法，挣到了买{z}的钱。",
        "为了{z}，{h}和{f}在{p.in}卖东西，开始卖不出去，后来客人越来越多。",
    )


@plot("吹牛")
def boast(w: World) -> None:
    """A boast is put to the test."""
    w.hero("h")
    w.friend("f")
    w.friend("g")
    w.scene(sky="sunny", season="any")
    w.pick("a", "activity", "boasts")
    w.pick("x", "food", "snack", "-drink")
    w.place("p", "play")
    w.tell(
        "{h}总爱说大话，{at}又说自己{a}的本领谁也比不上。",
        "<h.proud 要说{a}，谁也比不上我！>",
        "{*idiom:proud@h}，到处说自己最会{a}。",
        "{when}{h}在{p.in}对大家说，自己很小就会{a}了。",
        "{*idiom:vain@h}，逢人就说自己会{a}。",
    )
    w.more(
        "大家听得眼睛都不眨，{h}越说越起劲。",
        "{h}还说自己得过好多奖，家里都放不下了。",
    )
    w.tell(
        "{f}[听得入了迷|信以为真]，要拜{h}做老师。",
        "{g}不相信，要{h}露一手给大家看看。",
        "<g.ask 那你来一次，让我们看看？>",
        "大家都说：“那你就在{p.in}{a}给我们看看吧！”",
        "{f}和{g}听了，都想亲眼看看。",
        "{*idiom:doubt@f}，要{h}做给大家看看。",
    )
    w.more(
        "{h}心里慌了，因为自己其实根本不会{a}。",
        "第二天，{p.in}来了好多看热闹的。",
        "那天夜里，{h}翻来覆去睡不着，真希望第二天下大雨。",
    )
    w.tell(
        "{h}嘴上答应，心里却{*mood:worried.very}。",
        "{h}一会儿说肚子疼，一会儿说[腿酸|头晕]，[找了好多借口|就是不肯去]。",
        "{h}不好意思说实话，只好硬着头皮去了。",
        "{*idiom:pretend@h}，心里却慌极了。",
        "{h}不停地{*action:puzzled}，就是不肯开始。",
        "{h}想逃走，可是大家都来了，[围了一圈|眼睛都看着{h}]。",
    )
    w.para()
    w.tell(
        "结果，{h}才试了一下就{*action:fall}了，大家都看明白了。",
        "可是{h}手忙脚乱，连怎么开始都不知道。",
        "{h}刚开始，就{*manner:fall}地摔了一跤。",
        "{h}闭上眼睛一试，弄得[满身是土|灰头土脸]。",
        "只听{*sound:tumble}一声，{h}摔了个四脚朝天。",
    )
    if w.flag("坏结局", 0.2):
        w.tell(
            "大家笑着走开了，从此{h}说什么都没有谁相信。",
            "{g}摇摇头走了，{h}独自站在{p.in}，{*mood:awkward.very}。",
        )
        w.moral("boast", probability=0.5)
        w.sum("{h}吹牛说自己最会{a}，当众出了丑，再也没有谁相信{h}。")
        return
    w.tell(
        "{*idiom:shame@h}，[小声|低头]说了实话。",
        "<h.sorry 其实我不会，我是吹牛的。>",
        "{h}{*mood:awkward.very}，只好承认自己是吹牛。",
        "{h}坐在地上，[眼泪汪汪|脸红得像苹果]。",
    )
    w.tell(
        "{f}扶起{h}说：“不会不要紧，我们一起学。”",
        "{g}笑了，说自己当初也不会。",
        "大家没有笑话{h}，反而一起教{h}{a}。",
        "{f}安慰{h}说，谁都有不会的事。",
    )
    w.tell(
        "后来，{h}天天练习，真的学会了{a}，再也不吹牛了。",
        "从此，{h}会就说会，不会就说不会。",
        "{*idiom:practice@h}，终于学会了{a}。",
        "{h}点点头，心里充满了{*mood:thanks}。",
    )
    w.more(
        "学着学着，{h}发现自己真的喜欢上了{a}。",
        "{g}也教了{h}一个小窍门。",
        "大家一起练了一个下午，都出了一身汗。",
        "{h}对{f}说：“谢谢你没有笑话我。”",
    )
    w.moral("boast", probability=0.4)
    w.sum(
        "{h}吹牛说自己会{a}，结果当众出丑，朋友们却没有笑话{h}。",
        "{h}爱吹牛，被{g}要求表演{a}，露了馅，从此不再说大话。",
    )
