"""Plots of the family: sickness, a photograph, a removal, an errand."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot


@plot("生病")
def sick(w: World) -> None:
    """Too much of a good thing, or no coat in the cold, and then the bitter medicine."""
    w.hero("h")
    w.elder("e")
    w.pick("x", "food", w.choice("candy", "candy", "cake", "nut"), "snack", "shareable")
    teeth = w.slot("x").has("candy")
    teeth = teeth and w.chance(0.5)
    w.person("d", "牙医 医生" if teeth else "医生 女医生 老中医 护士长 护士")
    w.put("pain", "牙疼" if teeth else "肚子疼 肚子胀 胃疼")
    hint = w.flag("伏笔", 0.35)
    w.tell(
        "{h}最爱吃{x}，{at}一口气吃了[十多|好多]{x.m}。",
        "{when}{h}得到一大[包|盒]{x}，[越吃越想吃|吃个不停]。",
        "{h}有点{*trait:greedy}，看见{x.a}就[走不动|停不下来]。",
        "{h}最爱吃{x}，看见{x}就[停不下来|走不动]。" if hint else "{when}{e}不在家，{h}把{x}全吃光了。",
    )
    if hint:
        w.tell(
            "{e}早就说过：吃得太多，身体会[不高兴|生气]的。",
            "<e.soft 少吃一点，不然会难受的。>{h}[装作没听见|只当没听见]。",
        )
    w.more(
        "{h}整天哪儿也不去，[只守着那盒{x}|坐在家里吃了一整天]。",
        "{h}把{x}藏在[枕头底下|抽屉里|衣柜里|床底下]，{*manner:sneak}地吃。",
    )
    w.tell(
        "没过一会儿，{h}就{pain}，忍不住{*action:weep}。",
        "到了晚上，{h}{pain}，[疼得直叫|在床上滚来滚去]。",
        "没过多久，{h}就{pain}了。",
        "[半夜|第二天]，{h}{pain}，[脸色发白|什么也吃不下]。",
        "<h.cry 哎哟，我难受极了！>",
        "没过一会儿，{h}就{pain}，觉得{*mood:suffering.very}。",
    )
    w.para()
    w.tell(
        "{e}{*mood:worried.very}，赶紧带{h}去找{d}。",
        "{e}[背起|抱起]{h}就往{d}那里跑。",
        "{e}[急忙|飞快地]请来了{d}。",
        "{e}连忙请来了{d}。",
    )
    w.tell(
        "{d}[看了看|摸了摸]，说要[吃药|打针]。",
        "<d.soft 你吃得太多了，要[吃药|好好休息]才行。>",
        "{d}[戴上眼镜|拿出听诊器]，{*manner:examine}地检查了一遍。",
        "{d}一看就明白了，开了一包苦苦的药。",
    )
    w.some(
        "药真苦，{h}皱着眉头，还是一口喝了下去。",
        "{h}怕吃药，[皱起了眉头|捏着鼻子]，可还是闭上眼睛喝了下去。",
        "{e}给{h}端来{*food:cooked,cookable.one}，{h}一点也吃不下。",
    )
    w.tell(
        "过了[两|三]天，{h}[又能跑能跳了|好了起来]。",
        "{h}听{d}的话，[每天按时吃药|好好休息]，病很快就好了。",
        "[几天|三天]以后，{*idiom:healed@h}。",
        "病好了，{h}再看见{x}，[摇了摇头|只拿了一点]。",
    )
    w.tell(
        "从此，{h}再也不敢一次吃那么多{x}了。",
        "{h}把剩下的{x}分给了大家。",
        "<h.sorry 以后我再也不贪吃了。>",
        "{h}对{d}说了谢谢，还送上{*plant:bouquet.one}。",
    )
    w.more(
        "现在，{h}每天多吃{*food:vegetable}，少吃{x}，身体[越来越棒|壮壮的]。",
        "{e}心里{*mood:eased.very}，笑着说这一课比什么都管用。",
    )
    w.moral("teeth" if teeth else "illness", probability=0.35)
    w.sum(
        "{h}吃了太多{x}，{pain}，{d}治好了{h}，{h}再也不贪吃了。",
        "{h}贪吃{x}生了病，吃了药才好，从此学会了节制。",
    )


@plot("全家福", "child")
def family_photo(w: World) -> None:
    """The whole family meets; somebody is missing from the picture."""
    w.scene(season="any", occasions="除夕 大年 春节 元旦 新年 中秋 元宵 重阳 国庆 端午")
    w.hero("h")
    w.pick("a", "person", "relatives")
    w.pick("b", "person", "relatives")
    w.pick("c", "person", "family", "child")
    w.pick("d", "person", "family", "-child")
    w.pick("k", "person", w.choice("neighbor", "relatives"))
    w.pick("g", "person", "relatives")
    w.pick("x", "thing", "gift")
    w.pick("y", "food", w.choice("cooked", "cake", "soup"))
    w.let("act", "{*activity:feast}")
    w.flag("转折")
    w.tell(
        "{when}{a}、{b}和{c}都来了，{h}的家里热闹极了。",
        "{when}{a}、{b}和{c}来了，{*idiom:door@h}，把大家迎了进来。",
        "{when}全家聚在一起，要照一张全家福。",
        "{when}{h}去看{a}，{b}和{c}也在那里。",
        "{d}过生日，{a}、{b}和{c}都来了，{h}的心情{*mood:pressing.very}，早就盼着这一天了。",
        "{when}{h}家里来了{a}、{b}和{c}。“难得来得这么齐，我们照张相吧！”{a}对大家说。",
    )
    w.more(
        "墙上挂着一张旧照片，那时候{h}还没有出生。",
        "屋里摆满了椅子，大的坐后面，小的坐前面。",
        "{a}摸着{h}的头，说又长高了。",
    )
    w.tell(
        "{a}带来了{x}，{b}端来了{y}，大家一起{act}。",
        "{h}给大家倒茶，{c}在一旁跑来跑去，大家都{*mood:glad.very}。",
        "{c}抢着{y.eat}{y}，弄得满脸都是。",
        "{b}送给{h}{x.onea}，{h}[连声道谢|高兴得跳了起来]。",
        "{*idiom:family@h}。",
        "{*idiom:greet@g}，{h}连忙让{g}坐下。",
        "{*idiom:arrive@g}，{c}高兴得跳了起来。",
        "大家坐在一起{act}，屋里笑声不断，{h}{*mood:glad.very}。",
    )
    w.more(
        "厨房里{*sound:boil}地响，饭菜的香味飘满了屋子。",
        "{k}也来凑热闹，还{*activity:show}给大家看。",
        "{h}数了数，一共来了十二个人，凳子都不够坐了。",
    )
    w.tell(
        "照相的时候，{h}忽然发现{d}不见了。",
        "大家站好了，{a}数了数，少了一个：{d}呢？",
        "{c}动来动去，好不容易站好了，{a}一数，{d}却不见了。",
        "快门刚要响，{h}喊了起来：“等一等，{d}不在！”" if w.talks else "快门刚要响，{h}连忙拦住：{d}还不在呢。",
    )
    w.para()
    w.tell(
        "{h}跑遍了屋里屋外，{*mood:worried.very}。",
        "{*idiom:look@h}，到处找{d}。",
        "大家分头去找，{c}找屋里，{h}找院子。",
        "{h}喊着{d}，声音传得很远。",
        "{k}说，好像看见{d}往门外去了。",
    )
    w.tell(
        "原来，{d}一个人在厨房里给大家做{y}呢。",
        "原来，{d}跑去买{h}最爱{y.eat}的{y}了。",
        "谁知{d}正躲在屋里，把{x}包好，要给{h}一个惊喜。",
        "原来，{d}跑去换了一身新衣服。",
    )
    w.tell(
        "{h}拉着{d}站到了最中间。",
        "{h}紧紧抱住{d}，[眼睛湿了|笑了]。",
        "<h.say 一个也不能少！>",
        "大家笑着给{d}让出了最好的位置。",
    )
    w.tell(
        "咔嚓一声，照片上每个人都在笑。",
        "{h}把照片贴在床头，每天都要看一看。",
        "{a}说，这是照得最好的一张全家福。",
        "照片上，{c}正在做鬼脸，{h}笑得最甜。",
        "那天晚上，大家{act}，一直到很晚。",
    )
    w.more(
        "照完相，大家又坐下来，一边吃一边聊。",
        "{h}悄悄数了数照片上的人，一个也不少。",
        "天黑了，大家还舍不得走。",
    )
    w.moral("kin", probability=0.35)
    w.sum(
        "全家人聚在一起照全家福，少了{d}，{h}和大家把{d}找来，才一起照了相。",
        "{h}一家照相的时候，{d}不见了，后来一家人才照成了全家福。",
    )


@plot("搬家")
def moving(w: World) -> None:
    """Leaving the old home: what to take, what to leave, whom to miss."""
    w.scene(season="any")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.pick("a", "thing", "furniture", "-instrument")
    w.pick("b", "thing", w.choice("container", "kitchen"))
    w.pick("c", "thing", w.choice("soft", "clothes", "book", "light"))
    w.pick("x", "thing", "losable", "toy")
    w.pick("n", "animal", "pet", "furry", "small") if not w.animals else w.pick(
        "n", "animal", "small", "gentle", "insect", "flies"
    )
    w.place("p", w.choice("town", "yard", "shore", "wild"))
    w.tell(
        "{h}要搬家了，{at}屋里堆满了箱子。",
        "{when}{e}说，过几天就要搬到{p}旁边去住，{h}听了，{*mood:downcast.very}。",
        "{when}车上装着{a}、{b}和{c}，{h}一家要搬走了。"
        if not w.animals
        else "{when}车上装着{a}、{b}和{c}，{h}要搬走了。",
        "<e.say 明天我们就搬到新家去。>{h}听了，{*mood:downcast.very}。",
    )
    w.tell(
        "又是{a}，又是{b}，还有{c}，东西怎么也收不完。",
        "{h}把{b}和{c}放进箱子，又拿了出来，什么都舍不得丢。",
        "{e}问{h}，{b}要不要，{c}要不要，{h}都点头。",
        "大家抬着{a}，提着{b}，忙得满头大汗。",
        "{h}找不到{x}，急得把箱子全打开了。",
    )
    w.more(
        "墙上还留着{h}量身高的记号，一道比一道高。",
        "{h}走遍了每一个房间，跟{a}说再见，跟窗户说再见。",
        "车上的{*thing:kitchen}和{*thing:container}{*sound:bell}地响。",
    )
    w.tell(
        "{f}来了，{duo}站在门口，谁也不说话。",
        "{*idiom:sad@h}，拉着{f}的手不放。",
        "{h}最舍不得的是{f}，眼泪掉了下来。",
        "<f.sad 你走了，我跟谁玩呢？>",
        "{*idiom:alone@h}，一想到{f}就想哭。",
    )
    w.tell(
        "{f}把{x.one}送给{h}，说：“看见它，就想起我。”" if w.talks else "{f}把心爱的{x}送给了{h}。",
        "{h}把自己的{x}留给{f}，{duo}拉了钩。" if not w.animals else "{h}把自己的{x}留给{f}，说好再见面的时候一起玩。",
        "还没有出发，{h}心里已经开始{*mood:missing}{f}了。",
        "{h&f.ta}约好，每个月[写一封信|见一次面]。",
        "车子开动了，{f}追着跑了很远，{h}一直挥手。",
        "{*idiom:leave@h}，{f}追着车子跑了很远。",
    )
    w.para()
    twist = w.flag("转折", 0.45)
    w.tell(
        "到了新家，四周静静的，{h}一个朋友也没有。",
        "新家很大，可是{h}觉得空空的，{*mood:lonely.very}。",
        "到了新家的第一个晚上，{h}睡不着，抱着枕头看着窗外。",
        "到了新家，{h}坐在台阶上，不想{*activity:solo}，也不想吃饭。",
    )
    if twist:
        w.tell(
            "没想到第二天一开门，{f}站在门外：原来{f}家也搬来了！"
            if not w.animals
            else "没想到第二天一开门，{f}站在门外：原来它也搬来了！",
            "谁知推开后窗一看，{f}的家就在山的那一边，翻过小山坡就到。",
            "没想到箱子里{*sound:scratch}地响，打开一看，是{n.one}跟着来了！",
        )
    else:
        w.tell(
            "这时，{n.one}来到{h}面前，好像在说：你好。",
            "忽然有谁敲门，是隔壁的孩子送来了{*food:cake.one}。",
            "第二天，窗外有谁在{*activity:solo}，还朝{h}招手。",
            "{h}打开窗，看见院子里有一棵开满花的树。",
        )
    w.tell(
        "{h}笑了，新家也变得亲切起来。",
        "{h}推开窗，觉得{*mood:calm.very}。",
        "{h}在窗台上放了{*plant:flower,pot.one}，开始喜欢这里了。",
        "从此，{h}有了两个家：一个住在里面，一个记在心里。",
        "{h}给{f}写了一封信：“这里也很好，快来玩吧！”" if not twist else "{h}觉得，有朋友的地方就是家。",
    )
    w.moral("parting", probability=0.25)
    w.sum(
        "{h}要搬家了，舍不得{f}和旧家，后来慢慢喜欢上了新家。",
        "搬家的时候，{h}和{f}依依不舍，到了新家，{h}又高兴起来。",
    )


@plot("送东西")
def errand(w: World) -> None:
    """Something must be carried to someone in time; the way is full of temptations."""
    w.hero("h")
    w.elder("e")
    w.elder("o")
    w.pick("x", "food", "cooked" if w.chance(0.5) else "soup", "cookable")
    w.place("p", "stroll")
    w.let("why", "{o}病了", "{o}还没吃饭", "{o}忙得没空做饭", "{o}独自在家，没有饭吃")
    late = w.flag("坏结局", 0.35)
    w.tell(
        "{when}{e}听说{why}，就让{h}送去{x.one}。",
        "{when}{e}装好{x.onea}，让{h}送给{o}。",
        "<e.say {why}，你把{x}送去，别让它凉了。>",
        "因为{why}，{h}提着{x}，要给{o}送去。",
    )
    w.more(
        "{e}用[食盒|饭盒]装好{x}，又盖上一块布，叮嘱了好几遍。",
        "从家里到{o}那里，要走很长一段路。",
        "{sky}，路上静静的。",
        "{h}走几步就看一看，生怕{x}洒出来。",
    )
    w.tell(
        "路过{p}，{h}看见好多{*plant:flower}，忍不住停了下来。",
        "走到{p.in}，有人叫{h}一起{*activity:games}。"
        if not w.animals
        else "走到{p.in}，伙伴们叫{h}一起{*activity:games}。",
        "经过{p}，{h}看见{*animal:bird,small.one}和{*animal:insect,gentle.one}，[真想|很想]追上去。",
        "半路上，{h}闻到{x}的香味，[口水都流出来了|肚子咕咕叫]。",
        "路过{p}，{h}看见有谁在演木偶戏，[看得走不动了|很想看一看]。",
    )
    if late:
        w.tell(
            "{h}想：玩一会儿也没关系，就放下了{x}。",
            "{h}这里看看，那里玩玩，把正事忘得干干净净。",
            "{h}{x.eat}了一口，又{x.eat}了一口，{x}越来越少了。",
        )
        w.para()
        w.more("太阳一点一点往西走，{h}一点也没注意。", "{h}玩得[满头大汗|浑身是泥]，高兴极了。")
        w.tell(
            "等{h}想起来，天已经黑了，{x}也凉透了。",
            "{h}一不留神，一只{*animal:pet,runs}跑来，把{x}打翻在地。",
            "等{h}回头找，{x}已经被{*animal:bird,small}{x.eat}光了。",
        )
        w.tell(
            "{o}饿着肚子等了一天，{h}{*mood:embarrassed.very}。",
            "{h}空着手站在{o}门前，[哭了|一句话也说不出]。",
            "{*idiom:regret@h}，可是已经来不及了。",
        )
        w.moral("promise", probability=0.5)
        w.sum("{h}给{o}送{x}，路上贪玩误了事，{o}饿了一天。", "{e}让{h}送{x}给{o}，{h}只顾着玩，没有送到。")
        return
    w.tell(
        "可是{h}想起{o}还在等着，摇摇头，加快了脚步。",
        "{h}{*manner:fetch}地往前走，一步也没有停。",
        "可是{h}一步也不停，走得{*mood:hasty.very}，只想快一点送到。",
        "{h}[看了一眼|咽了咽口水]，还是{*manner:run}地往前走。",
        "<h.say 不行，我要先把{x}送到！>",
        "{h}对自己说：先办正事，再来玩。",
    )
    w.para()
    w.tell(
        "一座小桥[又窄又滑|摇摇晃晃]，{h}{*manner:handle}地走了过去，{x}一点也没洒。",
        "{h}{*manner:handle}地提着{x}，一步也不敢快走。",
        "{h}{*manner:hold}地抱着{x}，走过了长长的土路。",
        "忽然刮起了大风，{h}把{x}紧紧抱在怀里。",
        "路上有一条大狗，{h}绕了一个大圈子。" if not w.animals else "路上有一个大水坑，{h}绕了一个大圈子。",
        "{h}走得太急，{*action:fall}了，可是{x}一点也没洒。",
    )
    w.more("{h}走得{*mood:hasty.very}，一步也不敢停下来。", "{sky}，{h}用身子护着{x}，不让它变凉。")
    w.tell(
        "{*idiom:smooth@h}，{x}很快就送到了{o}手里。",
        "{h}不停地{*action:hurry}，到的时候{x}还是热的。",
        "{h}终于到了，{x}还是热的。",
        "{*idiom:greet@o}，接过了{x}。",
        "{h}{*sound:knock}地敲门，{o}高兴地迎了出来。",
        "{h}{*manner:solemn}地把{x}递给了{o}。",
        "{o}打开门，[又惊又喜|高兴极了]。",
        "{o}接过{x}，[眼睛湿了|连声说好]。",
        "<o.glad 你真是个{*trait:helpful}的孩子！>",
    )
    w.tell(
        "{o}{x.eat}着{x}，身上暖，心里更暖。",
        "{*idiom:moved@o}，拉着{h}坐下来一起{x.eat}。",
        "回来的路上，{h}好好地玩了一会儿，{*mood:glad.very}。",
        "{h}觉得{*mood:honoured.very}，因为自己办成了一件大事。",
    )
    w.more(
        "{e}知道了，摸着{h}的头，笑得合不拢嘴。",
        "临走的时候，{o}送给{h}{*food:snack,-drink.one}。",
        "{h}还帮{o}{*activity:clean}，忙了好一会儿。",
        "太阳下山了，{h}踩着自己的影子往家走。",
    )
    w.moral("promise", "help", probability=0.35)
    w.sum(
        "{e}让{h}给{o}送{x}，{h}没有贪玩，及时送到了。",
        "{why}，{h}一路小心，把{x}送到了{o}手里。",
    )
